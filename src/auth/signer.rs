//! Makes tokens: for tests, and for programs that are asked to let their users in elsewhere.

use super::key::{Algorithm, checked_secret, with_path, without_newline};
use super::pem::{self, Block};
use super::verify::Members;
use crate::error::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use std::fs;
use std::path::Path;

/// Signs tokens, with what a [`Key`](super::Key) checks them with: the same secret, or the private key of the pair.
///
/// ```
/// use switchboard::auth::{Jwt, Key, Signer};
///
/// let secret = "32 random bytes, or more than that";
/// let token = Signer::secret(secret)?.sign(r#"{"sub": "ann", "exp": 4102444800}"#)?;
/// let jwt = Jwt::new().with_key(Key::secret(secret)?);
/// assert_eq!(jwt.check(&token).unwrap().name(), Some("ann"));
/// # Ok::<(), switchboard::Error>(())
/// ```
pub struct Signer {
    id: Option<String>,
    material: Material,
}

enum Material {
    Secret(hmac::Key),
    Rsa(Box<RsaKeyPair>),
    Curve(EcdsaKeyPair),
}

impl Signer {
    /// Signs with HS256.
    ///
    /// # Errors
    /// As [`Key::secret`](super::Key::secret).
    pub fn secret(secret: impl AsRef<[u8]>) -> Result<Self> {
        let secret = checked_secret(secret.as_ref())?;
        Ok(Self { id: None, material: Material::Secret(hmac::Key::new(hmac::HMAC_SHA256, secret)) })
    }

    /// Signs with a private key in PEM: `PRIVATE KEY`, or `RSA PRIVATE KEY`. RS256 for RSA with 2048 to 4096 bits, ES256 for
    /// the curve P-256.
    ///
    /// # Errors
    /// [`Error::Config`] for anything else.
    pub fn from_pem(pem: &str) -> Result<Self> {
        let Block { label, der } = pem::only_block(pem)?;
        let curve = || EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &SystemRandom::new());
        let material = match label.as_str() {
            "PRIVATE KEY" => match RsaKeyPair::from_pkcs8(&der) {
                Ok(pair) => Ok(Material::Rsa(Box::new(pair))),
                Err(rsa) => curve().map(Material::Curve).map_err(|curve| {
                    format!("it can be used neither for RS256 ({rsa}) nor for ES256, with P-256 ({curve})")
                }),
            },
            "RSA PRIVATE KEY" => RsaKeyPair::from_der(&der)
                .map(|pair| Material::Rsa(Box::new(pair)))
                .map_err(|error| format!("it cannot be used for RS256: {error}")),
            label => Err(format!(
                "a block {label} cannot sign: give PRIVATE KEY, as `openssl pkcs8 -topk8 -nodes -in FILE` writes it"
            )),
        };
        material.map(|material| Self { id: None, material }).map_err(Error::Config)
    }

    /// From a file: PEM, or a secret, without a line's end behind it.
    ///
    /// # Errors
    /// As the above, and [`Error::Config`] when the file cannot be read. The text names the file.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let from = |content: Vec<u8>| match pem::is_pem(&content) {
            true => Self::from_pem(&String::from_utf8_lossy(&content)),
            false => Self::secret(without_newline(&content)),
        };
        with_path(path, fs::read(path).map_err(Error::Io).and_then(from))
    }

    /// Names the key in the tokens' header (`kid`).
    #[must_use]
    pub fn with_id(self, id: &str) -> Self {
        Self { id: Some(id.into()), ..self }
    }

    /// A token with these claims, a JSON object.
    ///
    /// # Errors
    /// [`Error::Config`] when `claims` is none, or has a member twice.
    pub fn sign(&self, claims: &str) -> Result<String> {
        Members::parse(claims.as_bytes())
            .ok_or_else(|| Error::Config("claims are a JSON object, each with a name of its own".into()))?;
        let mut header = serde_json::json!({"alg": self.algorithm().name(), "typ": "JWT"});
        if let Some(id) = &self.id {
            header["kid"] = id.as_str().into();
        }
        let message = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims));
        Ok(format!("{message}.{}", BASE64.encode(self.signature(message.as_bytes())?)))
    }

    fn algorithm(&self) -> Algorithm {
        match self.material {
            Material::Secret(_) => Algorithm::Hs256,
            Material::Rsa(_) => Algorithm::Rs256,
            Material::Curve(_) => Algorithm::Es256,
        }
    }

    fn signature(&self, message: &[u8]) -> Result<Vec<u8>> {
        let random = SystemRandom::new();
        let failed = |_| Error::Config("the key cannot sign".into());
        match &self.material {
            Material::Secret(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            Material::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            Material::Curve(pair) => {
                pair.sign(&random, message).map(|signature| signature.as_ref().to_vec()).map_err(failed)
            }
        }
    }
}
