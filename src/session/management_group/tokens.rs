//! One-time tokens, with which nodes enrol.

use std::time::Duration;

use zeroize::Zeroizing;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{Answer, EnrolmentToken, TokenRecord, TokensOperation};
use crate::name::Name;
use crate::role::Role;
use crate::session::management_group::{ManagementGroup, answer, done};

impl ManagementGroup {
    /// Makes a one-time token, with which a node that has no certificate yet enrols: this name, for this role, through
    /// this gateway (none: at a management server), within this time. Its text is shown to whoever enrols the node; the
    /// store cannot tell it again.
    ///
    /// # Errors
    ///
    /// [`Code::ArgumentInvalid`] for a role that does not enrol and a time above 7 days; [`Code::NameRejected`],
    /// [`Code::RoleNotApproved`] for the name; [`Code::TokensFull`]; [`Code::NameUnreadable`].
    pub async fn create_token(
        &self,
        name: &str,
        role: Role,
        gateway: Option<&str>,
        valid_for: Duration,
    ) -> Result<EnrolmentToken> {
        let (name, via) = (Name::parse(name)?, gateway.map(Name::parse).transpose()?);
        let token = EnrolmentToken::generate()?;
        let valid_for_ms = u64::try_from(valid_for.as_millis()).unwrap_or(u64::MAX);
        let create = TokensOperation::Create { name, role, via, valid_for_ms, hash: token.hash()? };
        self.ask(create).await.and_then(done)?;
        Ok(token)
    }

    /// The one-time tokens, by name; those that were used, or expired within the last week, too.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn tokens(&self) -> Result<Vec<TokenRecord>> {
        answer!(self.ask(TokensOperation::Tokens), Tokens)
    }

    /// Deletes all one-time tokens of a name; answers how many there were.
    ///
    /// # Errors
    ///
    /// [`Code::TokenUnknown`] if there is none, [`Code::NameUnreadable`].
    pub async fn delete_token(&self, name: &str) -> Result<u64> {
        let name = Name::parse(name)?;
        answer!(self.ask(TokensOperation::Delete { name }), Number)
    }
}

impl EnrolmentToken {
    /// A new token.
    ///
    /// # Errors
    ///
    /// [`Code::Internal`] where the system has no random numbers.
    pub fn generate() -> Result<Self> {
        let mut seed = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(&mut seed[..])
            .map_err(|_| Error::new(Code::Internal).subject("enrolment token").found("no random numbers"))?;
        Ok(Self::from_seed(seed))
    }
}
