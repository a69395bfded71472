//! Why a description was not taken, and what is answered for it (sip-trunk.md sections 3 and 7.1).

/// Why a description was not taken. In a re-INVITE or UPDATE the same answers are given and the call lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Larger than 16 KiB, or a multipart body of more than 8 parts.
    #[error("session description is too large")]
    TooBig,
    /// Cannot be read.
    #[error("session description is malformed: {0}")]
    Malformed(&'static str),
    /// A body, or a part of it that must be understood, of a type we do not know.
    #[error("body is of a type we do not understand")]
    MediaType,
    /// There is none: the body is empty, or its parts are all something else.
    #[error("there is no session description")]
    Absent,
    /// More m= lines, payload types or attributes than we read.
    #[error("session description has too many {0}")]
    Limit(&'static str),
    /// No m=audio line that is in use.
    #[error("no audio is offered")]
    NoAudio,
    /// Audio, but not as RTP/AVP.
    #[error("audio is offered with a profile we do not speak")]
    Profile,
    /// RTP/SAVP without a crypto line that we can do.
    #[error("no usable key for SRTP")]
    NoKey,
    /// SRTP is required, and the signalling is not encrypted.
    #[error("SRTP is required, and its keys may not be told over this transport")]
    Unsafe,
    /// Audio, but neither PCMU nor PCMA of ours.
    #[error("no codec in common")]
    NoCodec,
    /// A host name, another kind of network, or an address nothing can be sent to.
    #[error("media address cannot be used")]
    Address,
    /// We have no address of the family.
    #[error("media address is of a family we do not have")]
    Family,
    /// A multicast or broadcast address.
    #[error("media address is multicast")]
    Multicast,
}

impl Refused {
    /// SIP status of the refusal: 400, 413, 415 or 488. A late answer in an ACK that is refused ends the call
    /// with BYE and `SIP;cause=488` whatever this says.
    pub const fn status(self) -> u16 {
        match self {
            Self::TooBig => 413,
            Self::Malformed(_) => 400,
            Self::MediaType => 415,
            Self::Absent
            | Self::Limit(_)
            | Self::NoAudio
            | Self::Profile
            | Self::NoKey
            | Self::Unsafe
            | Self::NoCodec
            | Self::Address
            | Self::Family
            | Self::Multicast => 488,
        }
    }

    /// Code and text of the Warning header field (RFC 3261 §20.43).
    pub const fn warning(self) -> Option<(u16, &'static str)> {
        match self {
            Self::NoAudio | Self::Profile | Self::NoKey | Self::Unsafe | Self::Absent => {
                Some((304, "Media type not available"))
            }
            Self::NoCodec => Some((305, "Incompatible media format")),
            Self::Address | Self::Family => Some((301, "Incompatible network address formats")),
            Self::Multicast => Some((330, "Multicast not available")),
            Self::TooBig | Self::Malformed(_) | Self::MediaType | Self::Limit(_) => None,
        }
    }

    /// Value of the Reason header field: Q.850 cause 65 with a 488, else none.
    pub const fn reason(self) -> Option<&'static str> {
        match self.status() {
            488 => Some("Q.850;cause=65"),
            _ => None,
        }
    }

    /// One word for logs, labels and call records (reliability R-31).
    pub const fn cause(self) -> &'static str {
        match self {
            Self::TooBig => "sdp_too_big",
            Self::Malformed(_) => "sdp_malformed",
            Self::MediaType => "body_type",
            Self::Absent => "sdp_absent",
            Self::Limit(_) => "sdp_limit",
            Self::NoAudio => "no_audio",
            Self::Profile => "rtp_profile",
            Self::NoKey => "srtp_key",
            Self::Unsafe => "srtp_without_tls",
            Self::NoCodec => "no_codec",
            Self::Address => "media_address",
            Self::Family => "media_family",
            Self::Multicast => "media_multicast",
        }
    }
}
