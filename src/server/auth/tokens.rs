//! Access tokens: JWTs (HS256) for clients that are not browsers. The secret is minted once and kept in the store.

use std::{fmt, time::Duration};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};

use crate::{
    protocol::UserId,
    server::{
        error::{Error, Result},
        store::{Store, now_ms},
    },
};

const ISSUER: &str = "netra";

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: UserId,
    iat: i64,
    exp: i64,
    jti: String,
}

/// Mints and reads access tokens.
pub(super) struct Tokens {
    signs: EncodingKey,
    reads: DecodingKey,
    lifetime: Duration,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

impl Tokens {
    pub(super) async fn open(store: &Store, lifetime: Duration) -> Result<Self> {
        let secret = store.setting_or("jwt_secret", &super::secret()).await?;
        Ok(Self::with_secret(&secret, lifetime))
    }

    fn with_secret(secret: &str, lifetime: Duration) -> Self {
        let (signs, reads) = (EncodingKey::from_secret(secret.as_bytes()), DecodingKey::from_secret(secret.as_bytes()));
        Self { signs, reads, lifetime }
    }

    pub(super) fn lifetime_ms(&self) -> i64 {
        i64::try_from(self.lifetime.as_millis()).unwrap_or(i64::MAX)
    }

    /// A token and the seconds it holds.
    pub(super) fn mint(&self, user: UserId) -> Result<(String, u64)> {
        let iat = now_ms() / 1000;
        let exp = iat + self.lifetime_ms() / 1000;
        let claims = Claims { iss: ISSUER.into(), sub: user, iat, exp, jti: uuid::Uuid::now_v7().to_string() };
        let token = encode(&Header::new(Algorithm::HS256), &claims, &self.signs);
        Ok((token.map_err(|error| Error::Corrupt(format!("signing a token: {error}")))?, self.lifetime.as_secs()))
    }

    /// Whose it is and when it runs out, in milliseconds since 1970; nothing where it is not valid now.
    pub(super) fn read(&self, token: &str) -> Option<(UserId, i64)> {
        let mut rules = Validation::new(Algorithm::HS256);
        rules.leeway = 0;
        rules.set_issuer(&[ISSUER]);
        rules.set_required_spec_claims(&["exp", "iss", "sub"]);
        let claims = decode::<Claims>(token, &self.reads, &rules).ok()?.claims;
        // The library lets the last second pass whole.
        let expires_at = claims.exp.saturating_mul(1000);
        (expires_at > now_ms()).then_some((claims.sub, expires_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_no_other_secret_reads_it() {
        let tokens = Tokens::with_secret("one", Duration::from_secs(60));
        let user = UserId::new();
        let (token, seconds) = tokens.mint(user).expect("signs");
        let (read, expires_at) = tokens.read(&token).expect("valid");
        assert_eq!((read, seconds), (user, 60));
        assert!((now_ms() + 58_000..=now_ms() + 60_000).contains(&expires_at));
        assert!(Tokens::with_secret("two", Duration::from_secs(60)).read(&token).is_none());
        assert!(tokens.read(&format!("{token}x")).is_none());
    }

    #[test]
    fn a_token_that_ran_out_or_is_unsigned_is_none() {
        let tokens = Tokens::with_secret("one", Duration::ZERO);
        let (token, _) = tokens.mint(UserId::new()).expect("signs");
        assert!(tokens.read(&token).is_none(), "it ran out as it was minted");
        // {"alg":"none","typ":"JWT"}
        let body = token.split('.').nth(1).expect("three parts");
        assert!(tokens.read(&format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{body}.")).is_none());
    }
}
