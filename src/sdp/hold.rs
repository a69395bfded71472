//! Which way audio flows, and what of it is a hold (RFC 3264 §6.1, §8.4; sip-trunk.md section 10).

/// A direction attribute, always as its writer sees it: `SendOnly` is "I send, you listen".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both ways; what holds when nothing is said.
    #[default]
    SendRecv,
    /// The writer sends.
    SendOnly,
    /// The writer listens.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// The direction of this attribute name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive]
            .into_iter()
            .find(|direction| name.eq_ignore_ascii_case(direction.name()))
    }

    /// Attribute name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// From what the writer does.
    pub const fn of(sends: bool, listens: bool) -> Self {
        match (sends, listens) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// The writer sends.
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// The writer listens.
    pub const fn listens(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same seen from the other end.
    pub const fn mirrored(self) -> Self {
        Self::of(self.listens(), self.sends())
    }

    /// What both allow.
    pub const fn and(self, other: Self) -> Self {
        Self::of(self.sends() && other.sends(), self.listens() && other.listens())
    }

    /// What the peer means who wrote this over the address `0.0.0.0` or `::`: it cannot be sent to
    /// (RFC 2543 hold).
    pub const fn without_address(self) -> Self {
        Self::of(self.sends(), false)
    }
}

#[cfg(test)]
mod tests {
    use super::Direction::{self, *};

    #[test]
    fn each_direction_is_answered_by_its_mirror() {
        for (offered, answered) in
            [(SendRecv, SendRecv), (SendOnly, RecvOnly), (RecvOnly, SendOnly), (Inactive, Inactive)]
        {
            assert_eq!(offered.mirrored(), answered);
        }
    }

    #[test]
    fn no_address_counts_as_sendonly() {
        for (offered, answered) in
            [(SendRecv, RecvOnly), (SendOnly, RecvOnly), (RecvOnly, Inactive), (Inactive, Inactive)]
        {
            assert_eq!(offered.without_address().mirrored(), answered);
        }
    }

    #[test]
    fn names_are_read_in_any_case() {
        assert_eq!(Direction::from_name("SendOnly"), Some(SendOnly));
        assert_eq!(Direction::from_name("sendrecvonly"), None);
    }
}
