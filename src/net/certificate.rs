//! The server's certificate and key: read from files, checked, and replaced while connections are open.

use super::der::{SEQUENCE, certificate_validity, element};
use crate::error::{Error, Result};
use parking_lot::{Mutex, RwLock};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A server's certificate chain and private key, from PEM files, for [`Builder::tls`](crate::Builder::tls).
/// Clones are the same one: what [`TlsFiles::reload`] reads is used by every server it was given to.
///
/// ```
/// # #[cfg(not(feature = "cli"))]
/// # fn main() {}
/// # #[cfg(feature = "cli")] // for rcgen
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use switchboard::{Server, TlsFiles};
///
/// # let folder = std::env::temp_dir().join(format!("switchboard-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
/// # let made = rcgen::generate_simple_self_signed(["localhost".to_string()])?;
/// # std::fs::write(&certificate, made.cert.pem())?;
/// # std::fs::write(&key, made.signing_key.serialize_pem())?;
/// let files = TlsFiles::read(certificate, key)?;
/// let server = Server::builder().tls(&files).route("/", |mut ws| ws.send("in private"));
/// let server = server.bind("127.0.0.1:0")?.start()?;
/// assert_eq!(server.connect("/")?.recv()?, Some("in private".into())); // by wss://
///
/// files.reload()?; // when the files have changed: on SIGHUP, or once a day
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TlsFiles {
    current: Arc<Current>,
}

struct Current {
    paths: Mutex<(PathBuf, PathBuf)>,
    certified: RwLock<Arc<CertifiedKey>>,
}

impl TlsFiles {
    /// Reads a chain (the server's own certificate first) and its key. Blocks for as long as reading the
    /// files takes.
    ///
    /// # Errors
    /// [`Error::Config`] when a file cannot be read, holds no certificate or key, the two do not belong
    /// together, or the certificate is not valid today. The text names the file.
    pub fn read(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Self> {
        let (certificate, key) = (certificate.into(), key.into());
        let certified = RwLock::new(Arc::new(read(&certificate, &key)?));
        Ok(Self { current: Arc::new(Current { paths: Mutex::new((certificate, key)), certified }) })
    }

    /// Reads the files again. Connections that are open stay as they are; handshakes from now on get the new
    /// certificate. Any thread may call it.
    ///
    /// # Errors
    /// As [`TlsFiles::read`]; the old certificate stays.
    pub fn reload(&self) -> Result<()> {
        let (certificate, key) = self.current.paths.lock().clone();
        self.replace(certificate, key)
    }

    /// [`TlsFiles::reload`] from other files, which are the ones to read again from now on.
    ///
    /// # Errors
    /// As [`TlsFiles::read`]; the old certificate and the old files stay.
    pub fn replace(&self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<()> {
        let (certificate, key) = (certificate.into(), key.into());
        let new = read(&certificate, &key)?;
        let mut paths = self.current.paths.lock();
        *self.current.certified.write() = Arc::new(new);
        *paths = (certificate, key);
        Ok(())
    }

    /// The end of the server's own certificate: clients refuse it from then on.
    pub fn expires(&self) -> SystemTime {
        let certified = self.current.certified.read();
        let until = certified.cert.first().and_then(|own| seconds(&validity(own)?.1));
        // Never 1970: what cannot be read, or is over, was refused.
        UNIX_EPOCH + Duration::from_secs(until.unwrap_or_default())
    }

    pub(crate) fn config(&self) -> Result<Arc<ServerConfig>> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Config(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(self.current.clone());
        // Tickets would arrive just when the client writes its request. Programs that read on one thread and write on
        // another, Python's `websockets.sync` among them, share an OpenSSL object that bears no two at once: of a thousand
        // connections two failed. Connections that live for hours gain nothing from resumption.
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certified.read().clone())
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current")
    }
}

fn read(certificate: &Path, key: &Path) -> Result<CertifiedKey> {
    let wrong = |path: &Path, what: &str| Error::Config(format!("{}: {what}", path.display()));
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(certificate, &format!("cannot be read as PEM certificates: {error}")))?;
    let Some(own) = chain.first() else {
        return Err(wrong(certificate, "holds no certificate; it needs a `BEGIN CERTIFICATE` block"));
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    check_validity(own, now).map_err(|what| wrong(certificate, what))?;
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| wrong(key, &format!("cannot be read as a PEM private key: {error}")))?;
    CertifiedKey::from_der(chain, private, &ring::default_provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            wrong(key, &format!("this key does not belong to the certificate in {}", certificate.display()))
        }
        error => wrong(key, &error.to_string()),
    })
}

/// Whether the certificate is valid at `now` (seconds since 1970). A handshake would not tell: that is the
/// client's to check.
fn check_validity(certificate: &[u8], now: u64) -> Result<(), &'static str> {
    let Some((from, until)) = validity(certificate) else {
        return Err("its period of validity cannot be read");
    };
    let now = timestamp(now);
    if now < from {
        Err("the certificate is not valid yet; is this machine's clock right?")
    } else if until < now {
        Err("the certificate has expired; put a new one in its place")
    } else {
        Ok(())
    }
}

/// Beginning and end as `YYYYMMDDHHMMSS`.
fn validity(certificate: &[u8]) -> Option<(String, String)> {
    let (SEQUENCE, validity, _) = element(certificate_validity(certificate)?)? else { return None };
    let (from_tag, from, rest) = element(validity)?;
    let (until_tag, until, _) = element(rest)?;
    Some((time(from_tag, from)?, time(until_tag, until)?))
}

/// UTCTime (`YYMMDDHHMMSSZ`, from 1950 on) or GeneralizedTime (`YYYYMMDDHHMMSSZ`). RFC 5280 §4.1.2.5.
fn time(tag: u8, text: &[u8]) -> Option<String> {
    let digits = str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let time = match (tag, digits.len()) {
        (0x17, 12) => format!("{}{digits}", if digits < "50" { "20" } else { "19" }),
        (0x18, 14) => digits.into(),
        _ => return None,
    };
    let is_date = ("01"..="12").contains(&&time[4..6]) && ("01"..="31").contains(&&time[6..8]);
    is_date.then_some(time)
}

/// Seconds since 1970 as `YYYYMMDDHHMMSS`, by the proleptic Gregorian calendar.
fn timestamp(seconds: u64) -> String {
    let (mut days, of_day) = (seconds / 86_400, seconds % 86_400);
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while let Some(rest) = days.checked_sub(if is_leap(year) { 366 } else { 365 }) {
        (days, year) = (rest, year + 1);
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        let Some(rest) = days.checked_sub(length) else { break };
        (days, month) = (rest, month + 1);
    }
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}{month:02}{:02}{hour:02}{minute:02}{second:02}", days + 1)
}

/// What [`timestamp`] is of, by counting years that begin in March. `None`: before 1970.
fn seconds(timestamp: &str) -> Option<u64> {
    let part = |from: usize, to: usize| timestamp.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let month = (month + 9) % 12;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day;
    // 719468 days from the first of March of the year 0 to 1970, and the day itself.
    Some(days.checked_sub(719_469)? * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_calendar_dates() {
        for (seconds, expected) in [
            (0, "19700101000000"),
            (951_827_696, "20000229123456"),
            (1_709_251_199, "20240229235959"),
            (1_709_251_200, "20240301000000"),
            (1_795_219_200, "20261121000000"),
            (4_102_444_800, "21000101000000"),
        ] {
            assert_eq!(timestamp(seconds), expected, "{seconds}");
            assert_eq!(super::seconds(expected), Some(seconds), "{expected}");
        }
        for none in ["", "19691231235959", "00000101000000", "2026112100000"] {
            assert_eq!(seconds(none), None, "{none}");
        }
    }

    #[test]
    fn times_have_two_forms() {
        assert_eq!(time(0x17, b"491231235959Z").as_deref(), Some("20491231235959"));
        assert_eq!(time(0x17, b"500101000000Z").as_deref(), Some("19500101000000"));
        assert_eq!(time(0x18, b"20500101000000Z").as_deref(), Some("20500101000000"));
        for no_date in [&b"260001000000Z"[..], b"261301000000Z", b"260100000000Z", b"260132000000Z"] {
            assert_eq!(time(0x17, no_date), None, "{}", no_date.escape_ascii());
        }
        assert_eq!((time(0x17, b"20500101000000Z"), time(0x18, b"x"), time(0x05, b"")), (None, None, None));
        assert_eq!((time(0x17, b"9:1231235959Z"), time(0x18, "2050é101000000Z".as_bytes())), (None, None));
    }

    #[test]
    fn cut_der_is_no_certificate() {
        for der in [&b""[..], b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x30\x03\x30\x01\x02", b"\x30\x8f"] {
            assert_eq!(validity(der), None, "{der:02x?}");
        }
    }

    /// Against certificates that rcgen makes.
    #[cfg(feature = "cli")]
    mod made {
        use super::*;
        use crate::wire::soup_tests::{Soup, soup};
        use proptest::prelude::*;
        use rcgen::{CertificateParams, KeyPair, date_time_ymd};

        /// Valid from the first to the last of these days.
        fn certificate(from: (i32, u8, u8), until: (i32, u8, u8)) -> Vec<u8> {
            let mut params = CertificateParams::new(["localhost".into()]).unwrap();
            params.not_before = date_time_ymd(from.0, from.1, from.2);
            params.not_after = date_time_ymd(until.0, until.1, until.2);
            params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
        }

        #[test]
        fn the_period_of_validity_is_found() {
            let der = certificate((2026, 11, 21), (2099, 1, 31));
            assert_eq!(validity(&der), Some(("20261121000000".into(), "20990131000000".into())));
            // 2026-11-21 as seconds since 1970.
            let first = 1_795_219_200;
            assert!(check_validity(&der, first - 1).unwrap_err().contains("not valid yet"));
            assert_eq!(check_validity(&der, first), Ok(()));
            assert_eq!(check_validity(&der, 4_073_500_800), Ok(()));
            assert!(check_validity(&der, 4_073_500_801).unwrap_err().contains("expired"));
            for cut in 0..der.len() {
                assert_eq!(validity(&der[..cut]), None, "cut at {cut}");
            }
        }

        proptest! {
            #![proptest_config(ProptestConfig::with_cases(5000))]

            /// A spoiled certificate has no period of validity, or one that can be compared with a date.
            #[test]
            fn any_der_is_read_or_not(Soup(der) in soup(certificate((1970, 1, 1), (4096, 1, 1)))) {
                if let Some((from, until)) = validity(&der) {
                    for time in [from, until] {
                        prop_assert!(time.len() == 14 && time.bytes().all(|b| b.is_ascii_digit()), "{}", time);
                    }
                }
                if let Some((_, content, rest)) = element(&der) {
                    prop_assert!(content.len() + rest.len() + 2 <= der.len());
                    prop_assert!(der.ends_with(rest));
                }
            }
        }
    }
}
