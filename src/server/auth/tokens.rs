//! Access tokens: JWTs (HS256) for clients that do not send the session's cookie. The secret is created once and stored.
//!
//! A token names its session (`sid`) and is invalid once that ended: the signature alone gives no access.

use std::{fmt, time::Duration};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};

use crate::{
    protocol::UserId,
    server::{
        clock::now_ms,
        error::{Error, Result},
        store::Store,
    },
};

const ISSUER: &str = "netra";

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: UserId,
    /// The key of the token's session.
    sid: String,
    iat: i64,
    exp: i64,
    jti: String,
}

/// The content of a valid token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TokenIdentity {
    pub(super) user: UserId,
    /// The key of its session.
    pub(super) session: String,
}

/// Mints and reads access tokens.
pub(super) struct Tokens {
    encoding_key: EncodingKey,
    decoding_key: DecodingKey,
    validation: Validation,
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
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.validate_nbf = true;
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        Self {
            encoding_key: EncodingKey::from_secret(secret.as_bytes()),
            decoding_key: DecodingKey::from_secret(secret.as_bytes()),
            validation,
            lifetime,
        }
    }

    pub(super) fn lifetime_ms(&self) -> i64 {
        i64::try_from(self.lifetime.as_millis()).unwrap_or(i64::MAX)
    }

    /// Creates a token for a session, valid from `now` to `until` (milliseconds since 1970); returns it with its lifetime in seconds.
    pub(super) fn mint(&self, user: UserId, session: &str, now: i64, until: i64) -> Result<(String, u64)> {
        let (iat, exp) = (now / 1000, until / 1000);
        let jti = uuid::Uuid::now_v7().to_string();
        let claims = Claims { iss: ISSUER.into(), sub: user, sid: session.to_owned(), iat, exp, jti };
        let token = encode(&Header::new(Algorithm::HS256), &claims, &self.encoding_key);
        let token = token.map_err(|error| Error::Corrupt(format!("signing a token: {error}")))?;
        Ok((token, u64::try_from(exp - iat).unwrap_or_default()))
    }

    /// Reads a token; nothing if its signature or its time is invalid. Whether its session has ended is not checked.
    pub(super) fn read(&self, token: &str) -> Option<TokenIdentity> {
        let token = decode::<Claims>(token, &self.decoding_key, &self.validation).ok()?;
        // RFC 7515, 4.1.11: a token with critical extensions that are not supported is invalid. None is supported here.
        if token.header.crit.is_some() {
            return None;
        }
        let Claims { sub, sid, exp, .. } = token.claims;
        // The library accepts a token until the end of its last second.
        (exp.saturating_mul(1000) > now_ms()).then_some(TokenIdentity { user: sub, session: sid })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn tokens(secret: &str) -> Tokens {
        Tokens::with_secret(secret, Duration::from_secs(60))
    }

    /// A token with our own secret and whatever header and claims.
    fn signed(tokens: &Tokens, header: &Value, claims: &Value) -> String {
        let header: Header = serde_json::from_value(header.clone()).expect("a header");
        encode(&header, claims, &tokens.encoding_key).expect("the token is signed")
    }

    #[test]
    fn a_token_is_verified_only_with_its_secret() {
        let (tokens, user) = (tokens("one"), UserId::new());
        let now = now_ms();
        let (token, seconds) = tokens.mint(user, "a session", now, now + 60_000).expect("the token is issued");
        assert_eq!(seconds, 60);
        assert_eq!(tokens.read(&token), Some(TokenIdentity { user, session: "a session".into() }));
        assert!(super::tests::tokens("two").read(&token).is_none());
        assert!(tokens.read(&format!("{token}x")).is_none());
    }

    #[test]
    fn an_expired_or_unsigned_token_is_invalid() {
        let tokens = tokens("one");
        let (token, _) = tokens.mint(UserId::new(), "a session", now_ms(), now_ms()).expect("the token is issued");
        assert!(tokens.read(&token).is_none(), "it expired when it was created");
        // {"alg":"none","typ":"JWT"}
        let body = token.split('.').nth(1).expect("three parts");
        assert!(tokens.read(&format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{body}.")).is_none());
    }

    #[test]
    fn a_token_that_is_not_valid_yet_or_has_a_critical_extension_or_no_session_is_invalid() {
        let (tokens, now) = (tokens("one"), now_ms() / 1000);
        let plain = json!({"alg": "HS256", "typ": "JWT"});
        let claims = json!({"iss": "netra", "sub": UserId::new(), "sid": "s", "iat": now, "exp": now + 60, "jti": "j"});
        let with = |key: &str, value: Value| {
            let mut claims = claims.clone();
            claims[key] = value;
            claims
        };
        assert!(tokens.read(&signed(&tokens, &plain, &claims)).is_some());
        assert!(tokens.read(&signed(&tokens, &plain, &with("nbf", json!(now - 10)))).is_some());
        assert!(tokens.read(&signed(&tokens, &plain, &with("nbf", json!(now + 30)))).is_none());
        assert!(tokens.read(&signed(&tokens, &plain, &with("nbf", json!("soon")))).is_none());
        for crit in [json!(["exp"]), json!(["b64"]), json!([])] {
            let header = json!({"alg": "HS256", "typ": "JWT", "crit": crit});
            assert!(tokens.read(&signed(&tokens, &header, &claims)).is_none(), "{header}");
        }
        let mut unbound = claims.clone();
        unbound.as_object_mut().expect("an object").remove("sid");
        assert!(tokens.read(&signed(&tokens, &plain, &unbound)).is_none());
    }
}
