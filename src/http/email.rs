//! E-mail addresses in the one form in which they are compared.

/// An address in the one form in which addresses are compared: ASCII, lower case. Anything that could be read as
/// another address by somebody else is no address: it would be a way to become that somebody.
#[must_use]
pub fn normalize(text: &str) -> Option<String> {
    let (local, domain) = text.rsplit_once('@')?;
    let plain = text.len() <= 254 && text.bytes().all(|byte| byte.is_ascii_graphic());
    let local_ok = !local.is_empty() && !local.contains(['@', '"', '(', ')', ',', ';', '<', '>', '\\']);
    let label_ok = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let domain_ok = domain.contains('.') && domain.split('.').all(label_ok);
    (plain && local_ok && domain_ok).then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_form() {
        assert_eq!(normalize("Ada.L@Example.Test").as_deref(), Some("ada.l@example.test"));
        for text in [
            "victim@x.test.",
            "victim@x.test\0",
            " victim@x.test",
            "victim@x.test ",
            "v\u{131}ctim@x.test",
            "victim@\u{ff58}.test",
            "victim@x",
            "@x.test",
            "a@b@x.test",
            "\"a\"@x.test",
            "victim",
            "a@x..test",
        ] {
            assert_eq!(normalize(text), None, "{text:?}");
        }
    }
}
