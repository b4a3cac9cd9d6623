//! Tokens that others made, and tokens gone bad.

use super::*;
use crate::auth::Signer;
use crate::wire::soup_tests::{Soup, soup};
use proptest::prelude::*;
use serde_json::{Value, json};

/// RFC 7515, appendix A.1.1, in base64url.
const RFC_SECRET: &str =
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
/// RFC 7515, appendices A.1, A.2 and A.3: all of them have this payload.
const RFC_PAYLOAD: &str =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const RFC_SIGNED: [(&str, &str); 3] = [
    ("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
    (
        "eyJhbGciOiJSUzI1NiJ9",
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdb\
         F9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383\
         LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWy\
         wlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    ),
    (
        "eyJhbGciOiJFUzI1NiJ9",
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    ),
];

/// The same claims signed by PyJWT 2.15 with the RFC's keys; the first has the `kid` 2023.
const PYJWT_PAYLOAD: &str = "eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJzdWIiOiJhbm4iLCJhdWQiOlsiY2hhdCIsImZpbGVzIl0sImV4cCI6\
                             MTcwMDAwMzYwMCwibmJmIjoxNzAwMDAwMDAwLCJpYXQiOjE3MDAwMDAwMDAsInJvb21zIjp7InJlYWQiOlsidGVhIiwi\
                             dGVhbS0qIl0sIndyaXRlIjpbInRlYSJdfX0";
const PYJWT_SIGNED: [(&str, &str); 3] = [
    ("eyJhbGciOiJIUzI1NiIsImtpZCI6IjIwMjMiLCJ0eXAiOiJKV1QifQ", "KChi6nm_aX9UsnSwDPGqdy0vw9FquevsZS6-Il7pV5M"),
    (
        "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9",
        "k-_5waLv4Q5nMJC0Z1Y-q7rDmiPPD-4YWmaFL3pKu-ajNcMiHJememgo-23i9Kv04TxqhMw77kr5gqTeCJgNzSkvFpevQB1qvGEc4d0l\
         a5HbupRd0Rl8waD7D3ujn1s4ciT9ZSkrjt4elFcWxOZtgyUWiIHA9s3vP6Lz3ZzzteRVh0Pj-Jb1WA4_RrHSAiZzX4FjQlbFjrQSiu8h\
         4MvHCqvTGX2Zhou3iK9GxIjsaAATI6zMJ54qiGs5tlUd-ZmBAQkuFTP2dvm9fPUFdxCcJk7DwdWykEu04izTfyWCa6MlwLm3Qxi3Ghj7\
         4NuPxg6i-2QYiJB-iAX1lrWpf3d_VQ",
    ),
    (
        "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9",
        "z1U-r3duhbTpOPnjbudZ7CbpRuE1mzt5drPbKUd4ABb2ktj2_RMMi538Ug0hC-4bokzKeAdhN3dew7TIKqvljQ",
    ),
];
/// When PyJWT's tokens begin and end.
const BEGIN: f64 = 1_700_000_000.0;
const END: f64 = 1_700_003_600.0;

const SECRET: &str = "a secret of more than thirty-two bytes";
const RSA_PEM: &str = include_str!("../../tests/keys/rsa.pem");
const CURVE_PEM: &str = include_str!("../../tests/keys/ec.pem");

fn rfc_secret() -> Key {
    Key::secret(BASE64.decode(RFC_SECRET).unwrap()).unwrap()
}

fn rfc_keys() -> [Key; 3] {
    [rfc_secret(), Key::from_pem(RSA_PEM).unwrap(), Key::from_pem(CURVE_PEM).unwrap()]
}

fn rules() -> Rules {
    Rules { audience: Vec::new(), issuer: None, leeway: Duration::from_secs(60) }
}

fn token(signed: (&str, &str), payload: &str) -> String {
    format!("{}.{payload}.{}", signed.0, signed.1)
}

/// A token with any header, signed with [`SECRET`].
fn signed_with_header(header: &str, claims: &str) -> String {
    let message = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
    format!("{message}.{}", BASE64.encode(ring::hmac::sign(&key, message.as_bytes())))
}

fn signed(claims: &Value) -> String {
    Signer::secret(SECRET).unwrap().sign(&claims.to_string()).unwrap()
}

fn secret() -> [Key; 1] {
    [Key::secret(SECRET).unwrap()]
}

#[test]
fn the_signatures_of_the_rfc_fit_their_keys_and_no_others() {
    let keys = rfc_keys();
    for (at, example) in RFC_SIGNED.into_iter().enumerate() {
        let token = token(example, RFC_PAYLOAD);
        for given in [&keys[..], &keys[at..=at]] {
            let claims = String::from_utf8(open(&token, given).unwrap()).unwrap();
            assert_eq!(
                claims,
                "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}"
            );
        }
        let others: Vec<Key> =
            keys.iter().filter(|key| key.algorithm != keys[at].algorithm).cloned().collect();
        assert!(open(&token, &others).unwrap_err().contains("no key"), "{token}");
        assert!(open(&token, &[]).unwrap_err().contains("no key"), "{token}");
        // The examples name no user.
        let reason = verify(&token, &keys, &rules(), 1_300_819_379.0).unwrap_err();
        assert_eq!(reason, "the token names no user (sub)");
    }
}

#[test]
fn tokens_of_another_implementation_are_good_in_their_time() {
    let rules = Rules { audience: vec!["chat".into()], issuer: Some("https://id.example".into()), ..rules() };
    for example in PYJWT_SIGNED {
        let token = token(example, PYJWT_PAYLOAD);
        let check = |now| verify(&token, &rfc_keys(), &rules, now);
        let ann = check(BEGIN + 1.0).unwrap();
        assert_eq!(ann, Identity::user("ann").may_read(["tea", "team-*"]).may_write(["tea"]));
        for (now, expected) in [
            (BEGIN - 61.0, Some("the token is not valid yet")),
            (BEGIN - 60.0, None),
            (END + 59.9, None),
            (END + 60.0, Some("the token has expired")),
        ] {
            assert_eq!(check(now).err(), expected, "{now}");
        }
    }
}

#[test]
fn claims_are_judged_one_by_one() {
    let rules = Rules {
        audience: vec!["chat".into(), "files".into()],
        issuer: Some("id".into()),
        leeway: Duration::from_secs(10),
    };
    let good = json!({"sub": "ann", "exp": 1000, "nbf": 500, "aud": "chat", "iss": "id"});
    let cases: &[(&str, Value, Option<&str>)] = &[
        ("exp", json!(1000.5), None),
        ("exp", json!(1e300), None),
        ("exp", json!(989), Some("expired")),
        ("exp", json!(-1), Some("expired")),
        ("exp", json!("1000"), Some("(exp) is no number")),
        ("exp", json!(null), Some("(exp) is no number")),
        ("exp", json!([1000]), Some("(exp) is no number")),
        ("nbf", json!(1010), None),
        ("nbf", json!(1011), Some("not valid yet")),
        ("nbf", json!("500"), Some("(nbf) is no number")),
        ("nbf", json!(true), Some("(nbf) is no number")),
        ("iss", json!("ID"), Some("(iss)")),
        ("iss", json!(["id"]), Some("(iss)")),
        ("aud", json!(["x", "files"]), None),
        ("aud", json!("cha"), Some("(aud)")),
        ("aud", json!([]), Some("(aud)")),
        ("aud", json!(["x", 1, "chat"]), Some("(aud)")),
        ("aud", json!({"chat": 1}), Some("(aud)")),
        ("sub", json!(""), Some("(sub)")),
        ("sub", json!(7), Some("(sub)")),
        ("sub", json!(["ann"]), Some("(sub)")),
        ("more", json!({"a": [{}]}), None),
    ];
    let check = |claims: &Value| verify(&signed(claims), &secret(), &rules, 1000.0);
    assert_eq!(check(&good).unwrap(), Identity::user("ann"));
    for (name, value, reason) in cases {
        let mut claims = good.clone();
        claims[name] = value.clone();
        match (check(&claims), reason) {
            (Ok(_), None) => {}
            (Err(got), Some(reason)) => assert!(got.contains(reason), "{claims}: {got}"),
            (got, _) => panic!("{claims}: {got:?}"),
        }
    }
    for (name, reason) in [("exp", "no end (exp)"), ("iss", "(iss)"), ("aud", "(aud)"), ("sub", "(sub)")] {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        assert!(check(&claims).unwrap_err().contains(reason), "{claims}");
    }
}

#[test]
fn rooms_are_rights() {
    let with_rooms = |rooms: &str| {
        let claims = format!(r#"{{"sub": "ann", "exp": 1000, "rooms": {rooms}}}"#);
        verify(&signed_with_header(r#"{"alg":"HS256"}"#, &claims), &secret(), &rules(), 0.0)
    };
    let ann = || Identity::user("ann");
    let (nothing, tea): ([&str; 0], _) = ([], ["tea", "team-*"]);
    for (rooms, expected) in [
        (r#"["tea", "team-*"]"#, Some(ann().may_read(tea).may_write(tea))),
        (r#"[]"#, Some(ann().may_read(nothing).may_write(nothing))),
        (r#"{"read": ["tea", "team-*"]}"#, Some(ann().may_read(tea).may_write(nothing))),
        (r#"{"write": ["tea"], "read": ["*"]}"#, Some(ann().may_read(["*"]).may_write(["tea"]))),
        (r#"{}"#, Some(ann().may_read(nothing).may_write(nothing))),
        (r#"null"#, None),
        (r#""tea""#, None),
        (r#"[1]"#, None),
        (r#"[["tea"]]"#, None),
        (r#"{"read": "tea"}"#, None),
        (r#"{"read": null}"#, None),
        (r#"{"read": ["tea"], "wrote": ["tea"]}"#, None),
        (r#"{"read": ["tea"], "read": ["*"]}"#, None),
    ] {
        match (with_rooms(rooms), expected) {
            (Ok(identity), Some(expected)) => assert_eq!(identity, expected, "{rooms}"),
            (Err(reason), None) => assert_eq!(reason, "the token's rooms are malformed", "{rooms}"),
            (got, _) => panic!("{rooms}: {got:?}"),
        }
    }
}

#[test]
fn what_is_signed_well_but_written_ill_is_denied() {
    let good = r#"{"sub":"ann","exp":1000}"#;
    for (header, claims, reason) in [
        (r#"{"alg":"HS256"}"#, good, None),
        (r#"{"alg":"HS256","typ":"JWT","kid":"x"}"#, good, None),
        (r#"{"alg":"HS256","crit":["exp"],"exp":1}"#, good, Some("crit")),
        (r#"{"alg":"HS256","crit":null}"#, good, Some("crit")),
        (r#"{"alg":"HS256","alg":"HS256"}"#, good, Some("header is malformed")),
        (r#"{"alg":"none"}"#, good, Some("none of HS256")),
        (r#"{"alg":"hs256"}"#, good, Some("none of HS256")),
        (r#"{"alg":"HS512"}"#, good, Some("none of HS256")),
        (r#"{"alg":["HS256"]}"#, good, Some("none of HS256")),
        (r#"{"alg":null}"#, good, Some("none of HS256")),
        (r#"{}"#, good, Some("none of HS256")),
        (r#"["HS256"]"#, good, Some("header is malformed")),
        (r#""HS256""#, good, Some("header is malformed")),
        (r#""#, good, Some("header is malformed")),
        (r#"{"alg":"HS256"}{}"#, good, Some("header is malformed")),
        (r#"{"alg":"HS256","kid":7}"#, good, Some("(kid) is no text")),
        (r#"{"alg":"RS256"}"#, good, Some("no key for the token's algorithm")),
        (r#"{"alg":"HS256"}"#, r#"{"sub":"ann","sub":"eve","exp":1000}"#, Some("one is there twice")),
        (
            r#"{"alg":"HS256"}"#,
            r#"{"sub":"ann","exp":1000,"more":1,"m\u006fre":2}"#,
            Some("one is there twice"),
        ),
        (r#"{"alg":"HS256"}"#, r#"{"sub":"ann","exp":1000} x"#, Some("claims are malformed")),
        (r#"{"alg":"HS256"}"#, r#"{"sub":"ann","exp":1e999}"#, Some("(exp) is no number")),
        (r#"{"alg":"HS256"}"#, r#"["ann"]"#, Some("claims are malformed")),
        (r#"{"alg":"HS256"}"#, "", Some("claims are malformed")),
    ] {
        let result = verify(&signed_with_header(header, claims), &secret(), &rules(), 0.0);
        match (result, reason) {
            (Ok(_), None) => {}
            (Err(got), Some(reason)) => assert!(got.contains(reason), "{header} {claims}: {got}"),
            (got, _) => panic!("{header} {claims}: {got:?}"),
        }
    }
}

#[test]
fn only_canonical_base64_in_three_parts_is_a_token() {
    let token = signed(&json!({"sub": "ann", "exp": 1000}));
    let check = |token: &str| verify(token, &secret(), &rules(), 0.0);
    assert!(check(&token).is_ok());
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, claims) = message.split_once('.').unwrap();
    // 32 bytes in 43 digits: the last one has two bits that mean nothing.
    let other = |digit: char| char::from_u32(u32::from(digit) + 1).unwrap();
    let last = signature.chars().last().unwrap();
    let loose = format!("{message}.{}{}", &signature[..42], other(last));
    assert!(
        BASE64.decode(&loose[message.len() + 1..]).is_err(),
        "{last} is followed by one of the same value"
    );
    for bad in [
        loose,
        format!("{token}="),
        format!("{token}\n"),
        format!(" {token}"),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.x"),
        format!("{header}..{signature}"),
        format!("{header}.{claims}"),
        format!("{header}.{claims}."),
        format!(".{claims}.{signature}"),
        format!("{header}.{claims}.{}", &signature[..42]),
        format!("{header}.{claims}.{signature}A"),
        format!("{header}.{claims}.{}", signature.replace(['-', '_'], "+")) + "+",
        "..".into(),
        "".into(),
        "é.é.é".into(),
    ] {
        assert!(check(&bad).is_err(), "{bad:?}");
    }
    let long = |length| signed(&json!({"sub": "ann", "exp": 1000, "more": "x".repeat(length)}));
    assert!(check(&long(6000)).is_ok());
    assert_eq!(check(&long(6200)).unwrap_err(), "the token is longer than 8 KiB");
}

/// The classic: the public key, which everybody has, as the secret of HS256.
#[test]
fn a_public_key_is_no_secret() {
    let forged = {
        let message = format!(
            "{}.{}",
            BASE64.encode(r#"{"alg":"HS256","typ":"JWT"}"#),
            BASE64.encode(r#"{"sub":"eve","exp":1000}"#)
        );
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, RSA_PEM.as_bytes());
        format!("{message}.{}", BASE64.encode(ring::hmac::sign(&key, message.as_bytes())))
    };
    let [_, rsa, curve] = rfc_keys();
    assert!(verify(&forged, &[rsa.clone(), curve], &rules(), 0.0).unwrap_err().contains("no key"));
    assert_eq!(
        verify(&forged, &[rsa, rfc_secret()], &rules(), 0.0).unwrap_err(),
        "the signature does not fit"
    );
    for public in
        [RSA_PEM, "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAB", r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJj"}"#]
    {
        assert!(Key::secret(public).is_err(), "{public}");
    }
}

#[test]
fn a_key_id_picks_the_key() {
    let (old, new) = ("the old secret, of many more bytes", "the new secret, of many more bytes");
    let key = |secret: &str| Key::secret(secret).unwrap();
    let signer = |secret: &str| Signer::secret(secret).unwrap();
    let claims = r#"{"sub":"ann","exp":1000}"#;
    let named = |secret: &str, id: &str| signer(secret).with_id(id).sign(claims).unwrap();
    let unnamed = |secret: &str| signer(secret).sign(claims).unwrap();
    let keys = [key(old).with_id("old"), key(new).with_id("new")];
    let check = |token: &str, keys: &[Key]| verify(token, keys, &rules(), 0.0).map(drop);
    let no_fit = Err("the signature does not fit");
    let no_key = Err("there is no key for the token's algorithm and key id (alg, kid)");
    assert_eq!((check(&unnamed(old), &keys), check(&unnamed(new), &keys)), (Ok(()), Ok(())));
    assert_eq!((check(&named(old, "old"), &keys), check(&named(new, "new"), &keys)), (Ok(()), Ok(())));
    assert_eq!((check(&named(old, "new"), &keys), check(&named(new, "old"), &keys)), (no_fit, no_fit));
    assert_eq!((check(&named(new, "newer"), &keys), check(&named(new, ""), &keys)), (no_key, no_key));
    let mixed = [key(old).with_id("old"), key(new)];
    assert_eq!((check(&named(new, "x"), &mixed), check(&named(old, "x"), &mixed)), (Ok(()), no_fit));
    assert_eq!(check(&named(new, "old"), &mixed), no_fit);
    // A name is of one algorithm's key.
    let [_, rsa, _] = rfc_keys();
    assert_eq!(check(&named(new, "rsa"), &[rsa.with_id("rsa"), key(new)]), no_key);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever is changed in a good token, it is no good any more, and nothing panics.
    #[test]
    fn a_spoiled_token_never_passes(
        (good, Soup(bad)) in (0..3usize).prop_flat_map(|at| {
            let token = token(PYJWT_SIGNED[at], PYJWT_PAYLOAD);
            (Just(token.clone()), soup(token))
        })
    ) {
        let bad = String::from_utf8_lossy(&bad);
        let result = verify(&bad, &rfc_keys(), &rules(), BEGIN);
        prop_assert_eq!(result.is_ok(), good == bad, "{:?}", result);
    }

    /// What is signed may be anything; who is let in is then named by it.
    #[test]
    fn any_claims_and_headers_are_judged_without_a_panic(
        Soup(header) in soup(&br#"{"alg":"HS256","kid":"x","typ":"JWT"}"#[..]),
        Soup(claims) in soup(&br#"{"sub":"ann","exp":1000,"nbf":1,"aud":["a"],"rooms":{"read":["a"],"write":[]}}"#[..]),
        now in 0.0..2000.0,
    ) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let token = signed_with_header(&text(&header), &text(&claims));
        if let Ok(identity) = verify(&token, &secret(), &rules(), now) {
            let claims: Value = serde_json::from_slice(text(&claims).as_bytes()).unwrap();
            prop_assert_eq!(identity.name(), claims["sub"].as_str());
            prop_assert!(now < claims["exp"].as_f64().unwrap() + 60.0);
        }
    }
}
