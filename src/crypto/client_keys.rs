//! Public keys that a client registers (RFC 7517), with which it signs its assertions.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

/// Keys a client may register at once: the current one, the next, and room to spare.
const MOST_KEYS: usize = 10;
const LONGEST_KEY_ID: usize = 100;
/// An RSA key has at least 2048 bits (RFC 7518, section 3.3) and no more than a check of it may cost.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=512;
/// Members that only the owner of a key knows (RFC 7518, section 6).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The set as it is kept: only what is needed to check a signature. `Err` is the rest of a sentence that begins with
/// the name of the member.
pub fn accept(set: &Value) -> Result<Value, String> {
    let keys = set.get("keys").and_then(Value::as_array);
    let keys = keys.filter(|keys| (1..=MOST_KEYS).contains(&keys.len()));
    let keys = keys.ok_or_else(|| format!("must be a JSON Web Key Set with 1 to {MOST_KEYS} keys"))?;
    let kept = keys.iter().map(accept_key).collect::<Result<Vec<_>, _>>()?;
    let key_ids: Vec<&Value> = kept.iter().filter_map(|key| key.get("kid")).collect();
    let unique = key_ids.iter().enumerate().all(|(at, kid)| !key_ids.iter().take(at).any(|seen| seen == kid));
    if !unique || (kept.len() > 1 && key_ids.len() != kept.len()) {
        return Err("must give each of several keys a kid of its own".to_owned());
    }
    Ok(json!({ "keys": kept }))
}

fn accept_key(key: &Value) -> Result<Value, String> {
    let members = key.as_object().ok_or("holds a key that is not an object")?;
    if PRIVATE_MEMBERS.iter().any(|name| members.contains_key(*name)) {
        return Err("holds a private key: send the public members only, and replace that key".to_owned());
    }
    if members.get("use").is_some_and(|purpose| purpose != "sig") {
        return Err("holds a key whose use is not sig".to_owned());
    }
    let mut kept = public_members(members)
        .ok_or("holds a key that is not of P-256, Ed25519 or RSA with 2048 to 4096 bits")?;
    if let Some(algorithm) = members.get("alg") {
        let of_type: &[&str] = match members.get("kty").and_then(Value::as_str) {
            Some("EC") => &["ES256"],
            Some("OKP") => &["EdDSA", "Ed25519"],
            _ => &["RS256", "PS256"],
        };
        if !algorithm.as_str().is_some_and(|name| of_type.contains(&name)) {
            return Err("holds a key with an alg other than ES256, EdDSA, RS256 or PS256".to_owned());
        }
        kept.insert("alg".to_owned(), algorithm.clone());
    }
    if let Some(key_id) = members.get("kid") {
        let good = key_id.as_str().is_some_and(|text| {
            (1..=LONGEST_KEY_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
        });
        if !good {
            return Err(format!("holds a key whose kid is not a word of 1 to {LONGEST_KEY_ID} characters"));
        }
        kept.insert("kid".to_owned(), key_id.clone());
    }
    kept.insert("use".to_owned(), json!("sig"));
    Ok(Value::Object(kept))
}

fn public_members(members: &Map<String, Value>) -> Option<Map<String, Value>> {
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
    let is_coordinate = |name: &str| bytes(name).is_some_and(|bytes| bytes.len() == 32);
    let names: &[&str] = match (text("kty")?, text("crv")) {
        ("EC", Some("P-256")) if is_coordinate("x") && is_coordinate("y") => &["kty", "crv", "x", "y"],
        ("OKP", Some("Ed25519")) if is_coordinate("x") => &["kty", "crv", "x"],
        ("RSA", _) => {
            let (modulus, exponent) = (bytes("n")?, bytes("e")?);
            let strong =
                RSA_BYTES.contains(&modulus.len()) && modulus.first().is_some_and(|byte| *byte >= 0x80);
            let usual = exponent == [1, 0, 1];
            if !strong || !usual {
                return None;
            }
            &["kty", "n", "e"]
        }
        _ => return None,
    };
    names.iter().map(|name| Some(((*name).to_owned(), members.get(*name)?.clone()))).collect()
}

/// What a client's key may sign with. Never `none`, never an HMAC: the key is public. `Ed25519` is the newer name of what
/// `EdDSA` means here (RFC 9864, section 2.2).
pub const ALGORITHMS: [&str; 5] = ["ES256", "EdDSA", "Ed25519", "RS256", "PS256"];

/// The claims of a JWT that `key`, one of an accepted set, signed with `algorithm`. None when the two do not go together.
#[must_use]
pub fn verified_claims(key: &Value, algorithm: &str, token: &str) -> Option<Vec<u8>> {
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
    let one_name = |name: &str| if name == "Ed25519" { "EdDSA".to_owned() } else { name.to_owned() };
    if text("alg").is_some_and(|named| one_name(named) != one_name(algorithm)) {
        return None;
    }
    let (message, signature) = token.rsplit_once('.')?;
    let (_, claims) = message.split_once('.')?;
    let (message, signature) = (message.as_bytes(), URL_SAFE_NO_PAD.decode(signature).ok()?);
    let valid = match (text("kty")?, algorithm) {
        ("EC", "ES256") => {
            // An uncompressed point.
            let point = [&[4], bytes("x")?.as_slice(), bytes("y")?.as_slice()].concat();
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, &signature)
        }
        ("OKP", "EdDSA" | "Ed25519") => {
            UnparsedPublicKey::new(&ED25519, bytes("x")?).verify(message, &signature)
        }
        ("RSA", "RS256" | "PS256") => {
            let public = RsaPublicKeyComponents { n: bytes("n")?, e: bytes("e")? };
            let scheme =
                if algorithm == "RS256" { &RSA_PKCS1_2048_8192_SHA256 } else { &RSA_PSS_2048_8192_SHA256 };
            public.verify(scheme, message, &signature)
        }
        _ => return None,
    };
    valid.ok()?;
    URL_SAFE_NO_PAD.decode(claims).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coordinate(byte: u8) -> String {
        URL_SAFE_NO_PAD.encode([byte; 32])
    }

    fn curve_key() -> Value {
        json!({ "kty": "EC", "crv": "P-256", "x": coordinate(1), "y": coordinate(2), "kid": "a", "alg": "ES256" })
    }

    fn rsa_key(bytes: usize) -> Value {
        json!({ "kty": "RSA", "n": URL_SAFE_NO_PAD.encode(vec![0xff; bytes]), "e": "AQAB", "kid": "r" })
    }

    fn with(mut key: Value, name: &str, value: Value) -> Value {
        key[name] = value;
        key
    }

    #[test]
    fn public_keys_are_kept_without_what_is_not_needed() {
        let edwards = json!({ "kty": "OKP", "crv": "Ed25519", "x": coordinate(3), "kid": "e" });
        let noisy = with(curve_key(), "x5u", json!("https://evil.test"));
        let kept = accept(&json!({ "keys": [noisy, rsa_key(256), edwards] })).unwrap();
        assert_eq!(kept["keys"][0], with(curve_key(), "use", json!("sig")));
        assert_eq!(kept["keys"].as_array().unwrap().len(), 3);
        assert_eq!(accept(&kept).unwrap(), kept);
    }

    #[test]
    fn what_could_not_be_checked_is_refused() {
        for (set, named) in [
            (json!([]), "JSON Web Key Set"),
            (json!({ "keys": [] }), "1 to 10"),
            (json!({ "keys": vec![curve_key(); 11] }), "1 to 10"),
            (json!({ "keys": ["a"] }), "not an object"),
            (json!({ "keys": [with(curve_key(), "d", json!("secret"))] }), "private"),
            (json!({ "keys": [{ "kty": "oct", "k": "c2VjcmV0" }] }), "private"),
            (json!({ "keys": [with(curve_key(), "use", json!("enc"))] }), "use"),
            (json!({ "keys": [with(curve_key(), "alg", json!("HS256"))] }), "alg"),
            (json!({ "keys": [with(curve_key(), "alg", json!("none"))] }), "alg"),
            (json!({ "keys": [with(curve_key(), "crv", json!("P-521"))] }), "P-256"),
            (json!({ "keys": [with(curve_key(), "x", json!("AQ"))] }), "P-256"),
            (json!({ "keys": [rsa_key(128)] }), "2048"),
            (json!({ "keys": [rsa_key(1024)] }), "2048"),
            (json!({ "keys": [with(rsa_key(256), "e", json!("Aw"))] }), "2048"),
            (json!({ "keys": [with(curve_key(), "kid", json!(" "))] }), "kid"),
            (json!({ "keys": [curve_key(), curve_key()] }), "kid of its own"),
            (json!({ "keys": [curve_key(), with(rsa_key(256), "kid", json!(1))] }), "kid"),
        ] {
            let sentence = accept(&set).unwrap_err();
            assert!(sentence.contains(named), "{set}: {sentence}");
        }
    }
}
