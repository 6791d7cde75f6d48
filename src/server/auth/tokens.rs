//! Access tokens: JWTs (HS256) for clients that are not browsers. The secret is minted once and kept in the store.
//!
//! A token names its session (`sid`), and is worth nothing once that ended: the signature alone lets nobody in.

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

/// What a valid token says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claimed {
    pub(super) user: UserId,
    /// The key of its session.
    pub(super) session: String,
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

    /// A token for a session, from `now` until its end (both in milliseconds since 1970), and the seconds it holds.
    pub(super) fn mint(&self, user: UserId, session: &str, now: i64, until: i64) -> Result<(String, u64)> {
        let (iat, exp) = (now / 1000, until / 1000);
        let jti = uuid::Uuid::now_v7().to_string();
        let claims = Claims { iss: ISSUER.into(), sub: user, sid: session.to_owned(), iat, exp, jti };
        let token = encode(&Header::new(Algorithm::HS256), &claims, &self.signs);
        let token = token.map_err(|error| Error::Corrupt(format!("signing a token: {error}")))?;
        Ok((token, u64::try_from(exp - iat).unwrap_or_default()))
    }

    /// Whose it is; nothing where it is not valid now. Whether its session goes on is for the store to say.
    pub(super) fn read(&self, token: &str) -> Option<Claimed> {
        let mut rules = Validation::new(Algorithm::HS256);
        rules.leeway = 0;
        rules.validate_nbf = true;
        rules.set_issuer(&[ISSUER]);
        rules.set_required_spec_claims(&["exp", "iss", "sub"]);
        let token = decode::<Claims>(token, &self.reads, &rules).ok()?;
        // RFC 7515, 4.1.11: whoever does not understand what is critical refuses the token. No extension is understood here.
        if token.header.crit.is_some() {
            return None;
        }
        let Claims { sub, sid, exp, .. } = token.claims;
        // The library lets the last second pass whole.
        (exp.saturating_mul(1000) > now_ms()).then_some(Claimed { user: sub, session: sid })
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
        encode(&header, claims, &tokens.signs).expect("signs")
    }

    #[test]
    fn a_token_reads_back_and_no_other_secret_reads_it() {
        let (tokens, user) = (tokens("one"), UserId::new());
        let now = now_ms();
        let (token, seconds) = tokens.mint(user, "a session", now, now + 60_000).expect("signs");
        assert_eq!(seconds, 60);
        assert_eq!(tokens.read(&token), Some(Claimed { user, session: "a session".into() }));
        assert!(super::tests::tokens("two").read(&token).is_none());
        assert!(tokens.read(&format!("{token}x")).is_none());
    }

    #[test]
    fn a_token_that_ran_out_or_is_unsigned_is_none() {
        let tokens = tokens("one");
        let (token, _) = tokens.mint(UserId::new(), "a session", now_ms(), now_ms()).expect("signs");
        assert!(tokens.read(&token).is_none(), "it ran out as it was minted");
        // {"alg":"none","typ":"JWT"}
        let body = token.split('.').nth(1).expect("three parts");
        assert!(tokens.read(&format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{body}.")).is_none());
    }

    #[test]
    fn a_token_that_holds_later_or_wants_an_unknown_extension_or_names_no_session_is_none() {
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
