//! Keys that a client registers.

use serde_json::Value;

use crate::crypto::client_keys::{ALGORITHMS, accept, verified_claims};
use crate::crypto::thumbprint::thumbprint;

/// A JSON Web Key Set.
pub(super) fn client_keys(data: &[u8]) {
    let Ok(set) = serde_json::from_slice::<Value>(data) else { return };
    let Ok(kept) = accept(&set) else { return };
    assert_eq!(accept(&kept).as_ref(), Ok(&kept), "what is kept is not accepted as it is");
    let keys = kept["keys"].as_array().unwrap();
    assert!((1..=10).contains(&keys.len()));
    for key in keys {
        let members = key.as_object().unwrap();
        let known = ["kty", "crv", "x", "y", "n", "e", "alg", "kid", "use"];
        assert!(
            members.keys().all(|name| known.contains(&name.as_str())),
            "a member that nobody needs is kept"
        );
        assert!(thumbprint(key).is_some_and(|name| name.len() == 43));
        for algorithm in ALGORITHMS.into_iter().chain(["none", "HS256"]) {
            assert_eq!(verified_claims(key, algorithm, "e30.e30."), None);
        }
    }
}
