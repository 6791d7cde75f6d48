//! Tokens in the addresses of links with which anybody can read a thread: a link's id and a signature, so that they cannot be guessed
//! and need not be stored. The secret is created once and stored.

use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};

use crate::{
    protocol::ShareId,
    server::{error::Result, store::Store},
};

/// Writes and reads the tokens.
pub(super) struct ShareTokens {
    signing: EncodingKey,
    verifying: DecodingKey,
}

impl fmt::Debug for ShareTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShareTokens").finish_non_exhaustive()
    }
}

impl ShareTokens {
    pub(super) async fn open(store: &Store) -> Result<Self> {
        Ok(Self::with_secret(&store.setting_or("share_secret", &super::secret()).await?))
    }

    fn with_secret(secret: &str) -> Self {
        let bytes = secret.as_bytes();
        Self { signing: EncodingKey::from_secret(bytes), verifying: DecodingKey::from_secret(bytes) }
    }

    /// The token of a link.
    pub(super) fn write(&self, share: ShareId) -> Result<String> {
        let id = share.to_string();
        let signature = crypto::sign(id.as_bytes(), &self.signing, Algorithm::HS256)
            .map_err(|error| crate::server::error::Error::Corrupt(format!("signing a link: {error}")))?;
        Ok(format!("{id}.{signature}"))
    }

    /// The link whose token this is.
    pub(super) fn read(&self, token: &str) -> Option<ShareId> {
        let (id, signature) = token.split_once('.')?;
        let share: ShareId = id.parse().ok()?;
        let is_ours = crypto::verify(signature, share.to_string().as_bytes(), &self.verifying, Algorithm::HS256);
        is_ours.unwrap_or(false).then_some(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_only_with_its_secret_and_its_id() {
        let (tokens, share) = (ShareTokens::with_secret("a"), ShareId::new());
        let token = tokens.write(share).expect("a token");
        assert_eq!(tokens.read(&token), Some(share));
        let (_, signature) = token.split_once('.').expect("a signature");
        for other in [format!("{}.{signature}", ShareId::new()), format!("{share}."), share.to_string(), String::new()]
        {
            assert_eq!(tokens.read(&other), None, "{other}");
        }
        assert_eq!(ShareTokens::with_secret("b").read(&token), None);
    }
}
