//! Who may ask over TCP.
//!
//! With a token file, whoever shows the token: `Authorization: Bearer TOKEN`, as Prometheus does, or `Basic` with any name and
//! the token as password, for which browsers ask. The file is read for each request: a token that was replaced is valid at once.
//! Without one the listener is on the loopback interface, and requests must name it by address or as `localhost`: a page of
//! somebody else whose name was made to lead here (DNS rebinding) is refused.

use std::net::IpAddr;
use std::path::Path;

use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::server::Refuse;

/// Fewer characters can be guessed.
const SHORTEST: usize = 16;

/// That a file holds a token that is worth the name.
///
/// # Errors
/// A sentence.
pub(crate) fn check(file: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("cannot read the token in {}: {error}", file.display()))?;
    if text.trim().len() < SHORTEST {
        let remedy = format!("head -c 24 /dev/urandom | base64 > {}", file.display());
        return Err(format!("the token in {} is shorter than {SHORTEST} characters: {remedy}", file.display()));
    }
    Ok(())
}

/// Lets a request pass, or refuses it.
pub(super) async fn admit(file: Option<&Path>, headers: &HeaderMap) -> Result<(), Refuse> {
    let Some(file) = file else {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        if host.is_some_and(is_here) {
            return Ok(());
        }
        let sentence = "ask for this machine by its address or as localhost";
        return Err(Refuse(StatusCode::FORBIDDEN, sentence.to_owned()));
    };
    let Ok(token) = tokio::fs::read_to_string(file).await else {
        let sentence = "the token of this server cannot be read; its log says more";
        tracing::warn!(file = %file.display(), "the token cannot be read: nobody can ask over TCP");
        return Err(Refuse(StatusCode::SERVICE_UNAVAILABLE, sentence.to_owned()));
    };
    let token = token.trim();
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(shown);
    if token.len() >= SHORTEST && shown.is_some_and(|shown| same(shown.as_bytes(), token.as_bytes())) {
        return Ok(());
    }
    let sentence = "a token is needed: Authorization: Bearer TOKEN, or the token as password of any user";
    Err(Refuse(StatusCode::UNAUTHORIZED, sentence.to_owned()))
}

/// What a request shows as its token.
fn shown(authorization: &str) -> Option<String> {
    let (scheme, value) = authorization.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(value.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
    pair.split_once(':').map(|(_, password)| password.to_owned())
}

/// Takes as long for a wrong first octet as for a wrong last one.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// Whether a `Host` names this machine in a way that no name server has a say in.
fn is_here(host: &str) -> bool {
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name);
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_certain_to_be_here() {
        for here in ["127.0.0.1:9180", "localhost", "LocalHost:80", "[::1]:9180", "127.0.0.1"] {
            assert!(is_here(here), "{here}");
        }
        for elsewhere in ["evil.example:9180", "localhost.evil.example", "", "127.0.0.1.nip.io:80"] {
            assert!(!is_here(elsewhere), "{elsewhere}");
        }
    }

    #[tokio::test]
    async fn a_token_is_shown_as_bearer_or_as_password_and_can_be_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "0123456789abcdef\n").unwrap();
        assert_eq!(check(&file), Ok(()));
        let answer = async |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            admit(Some(&file), &headers).await.map_err(|Refuse(status, _)| status)
        };
        let basic = format!("Basic {}", STANDARD.encode("anybody:0123456789abcdef"));
        assert_eq!(answer("Bearer 0123456789abcdef").await, Ok(()));
        assert_eq!(answer(&basic).await, Ok(()));
        for wrong in ["Bearer 0123456789abcdeF", "Bearer ", "0123456789abcdef", "Digest 0123456789abcdef"] {
            assert_eq!(answer(wrong).await, Err(StatusCode::UNAUTHORIZED), "{wrong}");
        }
        std::fs::write(&file, "fedcba9876543210").unwrap();
        assert_eq!(answer("Bearer 0123456789abcdef").await, Err(StatusCode::UNAUTHORIZED));
        assert_eq!(answer("Bearer fedcba9876543210").await, Ok(()));
        // An emptied file opens nothing, and a missing one neither.
        std::fs::write(&file, "").unwrap();
        assert_eq!(answer("Bearer ").await, Err(StatusCode::UNAUTHORIZED));
        assert!(check(&file).unwrap_err().contains("shorter than 16 characters"));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(answer("Bearer fedcba9876543210").await, Err(StatusCode::SERVICE_UNAVAILABLE));
    }
}
