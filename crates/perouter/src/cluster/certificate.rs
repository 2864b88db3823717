//! The certificate that the webhook answers with, and the authority that vouches for it.
//!
//! Each certificate has an authority of its own, whose key is forgotten as soon as it has signed: nobody can make a second
//! certificate that the API server trusts. Both are valid for the same time, from an hour ago, since clocks differ. Pure,
//! but for the random numbers.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{RootCertStore, ServerConfig};

/// How far the API server's clock may be behind.
const SKEW: Duration = Duration::from_secs(3_600);
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";

/// A certificate, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    /// What is shown to the API server.
    pub(super) certificate: String,
    /// Its key.
    pub(super) key: String,
    /// The authorities that are to be trusted, its own first.
    pub(super) authorities: String,
}

// Not the key.
impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl Certificate {
    /// A new one for these names, DNS names or addresses.
    ///
    /// # Errors
    /// A sentence.
    pub(super) fn new(names: &[String], now: SystemTime, lifetime: Duration) -> Result<Self, String> {
        Self::make(names, now, lifetime).map_err(|error| format!("cannot make a certificate: {error}"))
    }

    fn make(names: &[String], now: SystemTime, lifetime: Duration) -> Result<Self, rcgen::Error> {
        let common = |name: &str| {
            let mut distinguished = DistinguishedName::new();
            distinguished.push(DnType::CommonName, name);
            distinguished
        };
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.distinguished_name = common("perouter webhook authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let mut server = CertificateParams::new(names)?;
        server.distinguished_name = common("perouter webhook");
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.use_authority_key_identifier_extension = true;
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        for params in [&mut authority, &mut server] {
            params.not_before = rcgen::date_time_ymd(1970, 1, 1) + since.saturating_sub(SKEW);
            params.not_after = rcgen::date_time_ymd(1970, 1, 1) + since + lifetime;
        }
        let authority_key = KeyPair::generate()?;
        let authorities = authority.self_signed(&authority_key)?.pem();
        let key = KeyPair::generate()?;
        let certificate = server.signed_by(&key, &Issuer::new(authority, authority_key))?.pem();
        Ok(Self { certificate, key: key.serialize_pem(), authorities })
    }

    /// Whether it vouches for all these names at a time.
    pub(super) fn holds(&self, names: &[String], at: SystemTime) -> bool {
        self.verify(names, at).is_some()
    }

    fn verify(&self, names: &[String], at: SystemTime) -> Option<()> {
        let mut roots = RootCertStore::empty();
        // Ours alone: the earlier ones are there for earlier certificates.
        roots.add(CertificateDer::from_pem_slice(self.authorities.as_bytes()).ok()?).ok()?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build().ok()?;
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes()).ok()?;
        let at = UnixTime::since_unix_epoch(at.duration_since(SystemTime::UNIX_EPOCH).ok()?);
        for name in names {
            let name = ServerName::try_from(name.as_str()).ok()?;
            verifier.verify_server_cert(&certificate, &[], &name, &[], at).ok()?;
        }
        Some(())
    }

    /// The same, with the authority of an earlier one trusted too.
    pub(super) fn after(mut self, earlier: &Self) -> Self {
        let earlier = earlier.authorities.split(BEGIN).nth(1);
        self.authorities.extend(earlier.map(|pem| format!("{BEGIN}{pem}")));
        self
    }

    /// What a server needs to answer with it.
    ///
    /// # Errors
    /// A sentence: it is damaged.
    pub(super) fn server(&self) -> Result<ServerConfig, String> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(self.certificate.as_bytes()).collect();
        let chain = chain.map_err(|error| format!("cannot read the certificate: {error}"))?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())
            .map_err(|error| format!("cannot read the key: {error}"))?;
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        builder
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map(|mut config| {
                config.alpn_protocols = vec![b"http/1.1".to_vec()];
                config
            })
            .map_err(|error| format!("cannot use the certificate: {error}"))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::Moment;

    const YEAR: Duration = Duration::from_secs(365 * 86_400);

    fn names() -> Vec<String> {
        ["openpe-webhook-service.openperouter-system.svc", "127.0.0.1"].map(str::to_owned).to_vec()
    }

    #[test]
    fn it_vouches_for_its_names_during_its_life() {
        let now = Moment::now().wall;
        let made = Certificate::new(&names(), now, YEAR).unwrap();
        let day = Duration::from_secs(86_400);
        assert!(made.holds(&names(), now) && made.holds(&names(), now + YEAR - day));
        assert!(!made.holds(&names(), now + YEAR + day) && !made.holds(&names(), now - day));
        assert!(!made.holds(&["elsewhere.example".to_owned()], now));
        made.server().unwrap();
    }

    #[test]
    fn it_does_not_vouch_with_somebody_elses_authority_nor_damaged() {
        let now = Moment::now().wall;
        let (one, other) =
            (Certificate::new(&names(), now, YEAR).unwrap(), Certificate::new(&names(), now, YEAR).unwrap());
        let mixed = Certificate { authorities: other.authorities.clone(), ..one.clone() };
        assert!(!mixed.holds(&names(), now));
        let damaged = Certificate { certificate: one.certificate.replace('A', "B"), ..one.clone() };
        assert!(!damaged.holds(&names(), now));
        assert!(Certificate { key: "nonsense".to_owned(), ..one }.server().is_err());
    }

    #[test]
    fn the_next_one_is_trusted_beside_the_one_before_and_no_longer() {
        let now = Moment::now().wall;
        let [first, second, third] = [(); 3].map(|()| Certificate::new(&names(), now, YEAR).unwrap());
        let second = second.after(&first);
        assert!(second.authorities.contains(first.authorities.trim()));
        assert!(second.holds(&names(), now));
        let third = third.after(&second);
        assert!(!third.authorities.contains(first.authorities.trim()));
        assert_eq!(third.authorities.matches(BEGIN).count(), 2);
    }
}
