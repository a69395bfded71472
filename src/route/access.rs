//! The account of a call: named by X-Exotel-AccountSid, or the trunk's own.

/// What an INVITE without X-Exotel-AccountSid gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingAccount {
    /// The trunk's first account.
    Default,
    /// 403.
    Reject,
}

/// The accounts of one trunk.
#[derive(Clone, Debug)]
pub struct Access {
    /// At least one.
    pub accounts: Vec<String>,
    /// What a call that names none gets.
    pub missing: MissingAccount,
}

/// Why a call has no account; all are 403 with `Q.850;cause=21`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAccount {
    /// The header is absent and `missing_account` is `"reject"`.
    #[error("X-Exotel-AccountSid is missing")]
    Missing,
    /// It names an account that does not belong to the trunk.
    #[error("the account is not one of the trunk's")]
    Unknown,
}

impl NoAccount {
    /// The word in log, metric and CDR.
    pub const fn cause(self) -> &'static str {
        match self {
            Self::Missing => "account_missing",
            Self::Unknown => "account_unknown",
        }
    }
}

impl Access {
    /// The account of a call that named this one, or none.
    ///
    /// # Errors
    /// When the trunk has no such account, or asks for one to be named.
    pub fn account<'a>(&'a self, named: Option<&str>) -> Result<&'a str, NoAccount> {
        match (named, self.missing) {
            (Some(name), _) => {
                self.accounts.iter().find(|ours| *ours == name).map(String::as_str).ok_or(NoAccount::Unknown)
            }
            (None, MissingAccount::Default) => {
                self.accounts.first().map(String::as_str).ok_or(NoAccount::Missing)
            }
            (None, MissingAccount::Reject) => Err(NoAccount::Missing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_the_one_named_or_the_first() {
        let access = Access { accounts: vec!["a".into(), "b".into()], missing: MissingAccount::Default };
        assert_eq!(access.account(Some("b")), Ok("b"));
        assert_eq!(access.account(None), Ok("a"));
        assert_eq!(access.account(Some("B")), Err(NoAccount::Unknown));
        let strict = Access { missing: MissingAccount::Reject, ..access };
        assert_eq!(strict.account(None), Err(NoAccount::Missing));
    }
}
