//! Keys that check signatures. Each is good for one algorithm, whatever a token says.

use super::pem::{self, Block};
use crate::error::{Error, Result};
use crate::net::der::{SEQUENCE, certificate_validity, element};
use ring::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use ring::{hmac, signature};
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

/// What a token is signed with. RFC 7518 §3.1
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Hs256,
    Rs256,
    Es256,
}

impl Algorithm {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }

    /// `None`: one that is not known here, `none` among them.
    pub(super) fn of(name: &str) -> Option<Self> {
        [Self::Hs256, Self::Rs256, Self::Es256].into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// A key that tokens are checked with: a secret for HS256, an RSA key for RS256, or one of the curve P-256 for ES256. Which of
/// them it is decides the algorithm; a token cannot choose.
///
/// ```
/// use switchboard::auth::{Jwt, Key};
///
/// let old = Key::secret("the secret that has been in use so far")?.with_id("2025");
/// let new = Key::secret("the secret that tokens are signed with now")?.with_id("2026");
/// let jwt = Jwt::new().with_key(old).with_key(new);
/// assert!(Key::secret("too short").is_err());
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone)]
pub struct Key {
    pub(super) algorithm: Algorithm,
    pub(super) id: Option<Arc<str>>,
    material: Material,
}

#[derive(Clone)]
enum Material {
    Secret(hmac::Key),
    Public(UnparsedPublicKey<Arc<[u8]>>),
}

/// RFC 7518 §3.2: "A key of the same size as the hash output … or larger MUST be used".
const SHORTEST_SECRET: usize = 32;
/// RFC 7518 §3.3, and what is not too slow. In bits.
const RSA_SIZES: RangeInclusive<usize> = 2048..=8192;

/// AlgorithmIdentifier of RSA, and of elliptic curves without and with the curve P-256. RFC 3279 §2.3
const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
const CURVE: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01";
const P256: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";

impl Key {
    /// A secret for HS256, which the one who signs has too.
    ///
    /// # Errors
    /// [`Error::Config`] for less than 32 bytes, or for what looks like a public key: those everybody has.
    pub fn secret(secret: impl AsRef<[u8]>) -> Result<Self> {
        let secret = checked_secret(secret.as_ref())?;
        Ok(Self::new(Algorithm::Hs256, Material::Secret(hmac::Key::new(hmac::HMAC_SHA256, secret))))
    }

    /// A public key in PEM: `PUBLIC KEY`, `RSA PUBLIC KEY` or `CERTIFICATE`. Of a certificate only the key counts, not who
    /// signed it or how long it is valid.
    ///
    /// # Errors
    /// [`Error::Config`] for anything else, a second block, RSA with less than 2048 or more than 8192 bits, and another curve
    /// than P-256.
    pub fn from_pem(pem: &str) -> Result<Self> {
        let wrong = |what: &str| Error::Config(what.into());
        let Block { label, der } = pem::only_block(pem)?;
        match label.as_str() {
            "PUBLIC KEY" => Self::from_spki(&der),
            "RSA PUBLIC KEY" => Self::rsa(&der),
            "CERTIFICATE" => {
                let subject = certificate_validity(&der).and_then(|fields| Some(element(fields)?.2));
                let key = subject.and_then(|fields| Some(element(fields)?.2));
                key.ok_or_else(|| wrong("the certificate cannot be read")).and_then(Self::from_spki)
            }
            private if private.contains("PRIVATE") => Err(wrong(
                "this is a private key, which only the one who signs should have; \
                 give the public one: openssl pkey -in FILE -pubout",
            )),
            label => Err(Error::Config(format!(
                "a block {label} is no key to check tokens with: give PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE"
            ))),
        }
    }

    /// A key from a file: PEM as for [`Key::from_pem`], or a secret as for [`Key::secret`], without a line's end behind it.
    ///
    /// # Errors
    /// As those, and [`Error::Config`] when the file cannot be read. The text names the file.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        with_path(path, fs::read(path).map_err(Error::Io).and_then(|content| Self::from_content(&content)))
    }

    fn from_content(content: &[u8]) -> Result<Self> {
        if !pem::is_pem(content) {
            return Self::secret(without_newline(content));
        }
        Self::from_pem(&String::from_utf8_lossy(content))
    }

    /// Names the key, as `2026-11`: tokens that name a key (`kid` in their header) are checked with the keys of that name, or
    /// where there is none, with those that have no name.
    #[must_use]
    pub fn with_id(self, id: &str) -> Self {
        Self { id: Some(id.into()), ..self }
    }

    fn new(algorithm: Algorithm, material: Material) -> Self {
        Self { algorithm, id: None, material }
    }

    /// SubjectPublicKeyInfo: an algorithm and a bit string. RFC 5280 §4.1.2.7
    fn from_spki(der: &[u8]) -> Result<Self> {
        const BIT_STRING: u8 = 3;
        let fields = || {
            let (SEQUENCE, fields, _) = element(der)? else { return None };
            let (SEQUENCE, algorithm, rest) = element(fields)? else { return None };
            let (BIT_STRING, bits, _) = element(rest)? else { return None };
            Some((algorithm, bits.strip_prefix(b"\0")?))
        };
        match fields() {
            Some((RSA, key)) => Self::rsa(key),
            // RFC 5480 §2.2: 4 is for a point in full.
            Some((P256, key)) if key.len() == 65 && key[0] == 4 => Ok(Self::public(Algorithm::Es256, key)),
            Some((P256, _)) => Err(Error::Config("the point of this key is not written in full".into())),
            Some((algorithm, _)) if algorithm.starts_with(CURVE) => {
                Err(Error::Config("a key of another curve than P-256 is of no use for ES256".into()))
            }
            Some(_) => {
                Err(Error::Config("this kind of key is not known: give RSA, or the curve P-256".into()))
            }
            None => Err(Error::Config("the key cannot be read".into())),
        }
    }

    /// RSAPublicKey: modulus and exponent. RFC 8017 §A.1.1
    fn rsa(der: &[u8]) -> Result<Self> {
        const INTEGER: u8 = 2;
        let modulus = || {
            let (SEQUENCE, fields, _) = element(der)? else { return None };
            let (INTEGER, modulus, _) = element(fields)? else { return None };
            Some(modulus.strip_prefix(b"\0").unwrap_or(modulus))
        };
        let modulus = modulus().ok_or_else(|| Error::Config("the RSA key cannot be read".into()))?;
        let bits = modulus.len() * 8 - modulus.first().map_or(0, |first| first.leading_zeros() as usize);
        if !RSA_SIZES.contains(&bits) {
            let (least, most) = RSA_SIZES.into_inner();
            return Err(Error::Config(format!(
                "an RSA key needs {least} to {most} bits, this one has {bits}"
            )));
        }
        Ok(Self::public(Algorithm::Rs256, der))
    }

    fn public(algorithm: Algorithm, key: &[u8]) -> Self {
        let verify: &'static dyn signature::VerificationAlgorithm = match algorithm {
            Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            _ => &ECDSA_P256_SHA256_FIXED,
        };
        Self::new(algorithm, Material::Public(UnparsedPublicKey::new(verify, key.into())))
    }

    pub(super) fn fits(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Secret(key) => hmac::verify(key, message, signature).is_ok(),
            Material::Public(key) => key.verify(message, signature).is_ok(),
        }
    }
}

/// A public key taken for a secret would let everybody sign who has it.
pub(super) fn checked_secret(secret: &[u8]) -> Result<&[u8]> {
    const PUBLIC: [&[u8]; 4] = [b"ssh-", b"ecdsa-sha2-", b"\x30\x81", b"\x30\x82"];
    let is_json_key = secret.starts_with(b"{") && secret.windows(5).any(|window| window == b"\"kty\"");
    if pem::is_pem(secret) || is_json_key || PUBLIC.iter().any(|start| secret.starts_with(start)) {
        let what =
            "this is a key that others may know, and no secret: give it as a file in PEM (BEGIN PUBLIC KEY)";
        return Err(Error::Config(what.into()));
    }
    if secret.len() < SHORTEST_SECRET {
        return Err(Error::Config(format!(
            "a secret for HS256 needs {SHORTEST_SECRET} bytes or more, this one has {}: openssl rand -hex 32 makes one",
            secret.len()
        )));
    }
    Ok(secret)
}

pub(super) fn without_newline(content: &[u8]) -> &[u8] {
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    content.strip_suffix(b"\r").unwrap_or(content)
}

/// The error with the file's name before it.
pub(super) fn with_path<T>(path: &Path, result: Result<T>) -> Result<T> {
    result.map_err(|error| Error::Config(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Signer;
    use crate::wire::soup_tests::{Soup, soup};
    use proptest::prelude::*;

    const SECRET: &str = "a secret of more than thirty-two bytes";

    /// RFC 8410 §10.1
    const ED25519: &str = "-----BEGIN PUBLIC KEY-----\n\
                           MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
                           -----END PUBLIC KEY-----\n";

    fn file(name: &str) -> String {
        let path = format!("{}/tests/keys/{name}.pem", env!("CARGO_MANIFEST_DIR"));
        fs::read_to_string(&path).expect(&path)
    }

    fn signature(signer: &Signer) -> (Vec<u8>, Vec<u8>) {
        use base64::Engine;
        let token = signer.sign("{}").unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let decoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(signature).unwrap();
        (message.into(), decoded)
    }

    #[test]
    fn every_form_of_a_key_checks_what_every_form_of_its_private_one_signs() {
        for (algorithm, public, private) in [
            (
                Algorithm::Rs256,
                &["rsa", "rsa_pkcs1", "rsa_certificate"][..],
                &["rsa_private", "rsa_private_pkcs1"][..],
            ),
            (Algorithm::Es256, &["ec", "ec_certificate"], &["ec_private"]),
        ] {
            for private in private {
                let (message, signature) = signature(&Signer::from_pem(&file(private)).unwrap());
                for public in public {
                    let key = Key::from_pem(&file(public)).unwrap();
                    assert_eq!(key.algorithm, algorithm);
                    assert!(key.fits(&message, &signature), "{public} {private}");
                    assert!(!key.fits(b"something else", &signature) && !key.fits(&message, b""));
                }
            }
        }
        let (message, signature) = signature(&Signer::secret(SECRET).unwrap());
        let other = SECRET.replace("a secret", "another");
        assert!(Key::secret(SECRET).unwrap().fits(&message, &signature));
        assert!(!Key::secret(other).unwrap().fits(&message, &signature));
    }

    #[test]
    fn what_is_no_key_is_told_what_would_be_one() {
        let text = |name| file(name);
        for (pem, what) in [
            (String::new(), "BEGIN"),
            (text("rsa_private"), "openssl pkey"),
            (text("rsa_private_pkcs1"), "openssl pkey"),
            (text("ec_private_sec1"), "openssl pkey"),
            (text("rsa_1024"), "this one has 1024"),
            (text("p384"), "another curve"),
            (text("rsa") + &text("ec"), "more than one"),
            (text("rsa").replace("PUBLIC KEY", "THING"), "a block THING"),
            (text("rsa").replace("PUBLIC KEY", "CERTIFICATE"), "the certificate cannot be read"),
            (text("rsa").replace("PUBLIC KEY", "RSA PUBLIC KEY"), "the RSA key cannot be read"),
            (text("rsa_certificate").replace("CERTIFICATE", "PUBLIC KEY"), "the key cannot be read"),
            (ED25519.into(), "this kind of key"),
        ] {
            let error = Key::from_pem(&pem).err().expect(what).to_string();
            assert!(error.contains(what), "{error}");
        }
        for (pem, what) in [
            (text("rsa"), "a block PUBLIC KEY cannot sign"),
            (text("ec_private_sec1"), "openssl pkcs8 -topk8"),
            (text("rsa").replace("PUBLIC", "PRIVATE"), "neither for RS256"),
        ] {
            let error = Signer::from_pem(&pem).err().expect(what).to_string();
            assert!(error.contains(what), "{error}");
        }
        for secret in ["", "short", &SECRET[..31]] {
            let error = Key::secret(secret).err().expect(secret).to_string();
            assert!(error.contains("32 bytes") && (secret.is_empty() || !error.contains(secret)), "{error}");
        }
        assert!(Signer::secret(SECRET).unwrap().sign("[]").is_err());
    }

    #[test]
    fn a_file_is_pem_or_a_secret_and_errors_name_it() {
        let folder = std::env::temp_dir().join(format!("switchboard-key-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("secret");
        for content in [SECRET.to_string(), format!("{SECRET}\n"), format!("{SECRET}\r\n")] {
            fs::write(&path, content).unwrap();
            let (message, signature) = signature(&Signer::read(&path).unwrap());
            assert!(Key::read(&path).unwrap().fits(&message, &signature));
            assert!(Key::secret(SECRET).unwrap().fits(&message, &signature));
        }
        fs::write(&path, file("ec")).unwrap();
        assert_eq!(Key::read(&path).unwrap().algorithm, Algorithm::Es256);
        for content in ["hush", "-----BEGIN PUBLIC KEY-----\nhush"] {
            fs::write(&path, content).unwrap();
            for error in [Key::read(&path).err().unwrap(), Signer::read(&path).err().unwrap()] {
                let error = error.to_string();
                assert!(error.starts_with(path.to_str().unwrap()) && !error.contains("hush"), "{error}");
            }
        }
        fs::remove_dir_all(&folder).unwrap();
        assert!(Key::read(&path).err().unwrap().to_string().contains("No such file"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// A spoiled key is one that cannot be used, or that may be of no use; nothing panics.
        #[test]
        fn any_der_is_a_key_or_not(
            Soup(der) in (0..4usize).prop_flat_map(|at| {
                let name = ["rsa", "rsa_pkcs1", "ec", "ec_certificate"][at];
                soup(pem::only_block(&file(name)).unwrap().der)
            })
        ) {
            for key in [Key::from_spki(&der), Key::rsa(&der)].into_iter().flatten() {
                prop_assert!(!key.fits(b"message", &[0; 64]) && !key.fits(b"message", &[7; 256]));
            }
            if let Some(fields) = certificate_validity(&der) {
                prop_assert!(der.ends_with(fields) || fields.len() < der.len());
            }
        }
    }
}
