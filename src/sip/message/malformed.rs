//! Why a message is refused before anybody looks at what it wants.

use super::Message;

/// A message that cannot be taken.
#[derive(Debug, thiserror::Error)]
#[error("malformed SIP message: {}", cause.as_str())]
pub struct Malformed {
    /// What is wrong with it: the first fault found.
    pub cause: Cause,
    /// As much of the request as lets a response be routed and written; absent for responses, for ACKs
    /// and where no Via says where to: such a message is dropped.
    pub answerable: Option<Box<Message>>,
}

/// What is wrong with a message (sip-trunk.md section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Not SIP at all: first octet below 0x20 or above 0x7F, or nothing but line ends.
    NotSip,
    /// The first line is no request line and no status line.
    StartLine,
    /// A SIP version other than 2.0.
    Version,
    /// The Request-URI is no URI.
    Uri,
    /// The Request-URI is over 1024 octets.
    UriTooLong,
    /// The Request-URI is not sip, sips or tel.
    Scheme,
    /// A header field without a colon, or with a name that is no token.
    HeaderName,
    /// Bare LF and CRLF mixed, or a CR by itself.
    LineEnds,
    /// No empty line ends the header section.
    Unfinished,
    /// The header section is over 32 KiB.
    HeadTooLarge,
    /// More than 256 header fields.
    TooManyFields,
    /// One header field is over 8 KiB.
    LineTooLong,
    /// No Via.
    NoVia,
    /// A Via that cannot be read, or one of its parts is empty.
    Via,
    /// No From, or one that cannot be read.
    From,
    /// No To, or one that cannot be read.
    To,
    /// No Call-ID, or an empty one, or one with blanks.
    CallId,
    /// No CSeq, or one that cannot be read.
    CSeq,
    /// The method of CSeq is another than the request's.
    CSeqMethod,
    /// A header field that may stand once stands twice (reliability R-13).
    Repeated,
    /// Call-ID, a tag or the branch is over 256 octets.
    IdTooLong,
    /// More Via, Record-Route or Route entries than allowed.
    TooManyHops,
    /// Max-Forwards is no number up to 255.
    MaxForwards,
    /// A number of another header field overflows (reliability R-14).
    Number,
    /// An INVITE with several Contacts, with `*`, or with one that cannot be read.
    Contact,
    /// Content-Length is no number, or says more than there is.
    ContentLength,
    /// No Content-Length on a stream.
    NoContentLength,
    /// The body is over 32 KiB.
    BodyTooLarge,
    /// The message is over 65,535 octets.
    MessageTooLarge,
}

impl Cause {
    /// A stable word for logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotSip => "not_sip",
            Self::StartLine => "start_line",
            Self::Version => "version",
            Self::Uri => "uri",
            Self::UriTooLong => "uri_too_long",
            Self::Scheme => "scheme",
            Self::HeaderName => "header_name",
            Self::LineEnds => "line_ends",
            Self::Unfinished => "unfinished",
            Self::HeadTooLarge => "head_too_large",
            Self::TooManyFields => "too_many_fields",
            Self::LineTooLong => "line_too_long",
            Self::NoVia => "no_via",
            Self::Via => "via",
            Self::From => "from",
            Self::To => "to",
            Self::CallId => "call_id",
            Self::CSeq => "cseq",
            Self::CSeqMethod => "cseq_method",
            Self::Repeated => "repeated_header",
            Self::IdTooLong => "id_too_long",
            Self::TooManyHops => "too_many_hops",
            Self::MaxForwards => "max_forwards",
            Self::Number => "number",
            Self::Contact => "contact",
            Self::ContentLength => "content_length",
            Self::NoContentLength => "no_content_length",
            Self::BodyTooLarge => "body_too_large",
            Self::MessageTooLarge => "message_too_large",
        }
    }

    /// The status it is answered with, where it can be answered.
    pub const fn status(self) -> u16 {
        match self {
            Self::BodyTooLarge => 413,
            Self::UriTooLong => 414,
            Self::Scheme => 416,
            Self::Version => 505,
            Self::HeadTooLarge | Self::TooManyFields | Self::MessageTooLarge => 513,
            _ => 400,
        }
    }

    /// The end of the message is in doubt: a stream is closed after the answer (reliability R-18).
    pub const fn loses_framing(self) -> bool {
        matches!(
            self,
            Self::NotSip
                | Self::LineEnds
                | Self::Unfinished
                | Self::HeadTooLarge
                | Self::ContentLength
                | Self::NoContentLength
                | Self::MessageTooLarge
        )
    }
}
