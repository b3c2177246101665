//! CSV (RFC 4180) that a spreadsheet opens without running what strangers wrote into it.

/// Writes one record. Every field is quoted; section 2, rules 5 to 7.
pub(super) fn record<'f>(out: &mut Vec<u8>, fields: impl IntoIterator<Item = &'f str>) {
    for (position, field) in fields.into_iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        out.push(b'"');
        if is_formula(field) {
            // Spreadsheets take what follows an apostrophe for text.
            out.push(b'\'');
        }
        out.extend_from_slice(field.replace('"', "\"\"").as_bytes());
        out.push(b'"');
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether a spreadsheet may take a field for a formula, also after blanks that it drops and in full-width letters.
fn is_formula(field: &str) -> bool {
    let begins_with_control = field.starts_with(|first: char| first.is_control());
    // The last ones are of no width: a byte order mark and its like.
    let text = field.trim_start_matches(|first: char| {
        first.is_whitespace()
            || first.is_control()
            || matches!(first, '\u{feff}' | '\u{2060}' | '\u{200b}'..='\u{200f}')
    });
    begins_with_control || text.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(fields: &[&str]) -> String {
        let mut out = Vec::new();
        record(&mut out, fields.iter().copied());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fields_are_quoted_and_quotes_doubled() {
        assert_eq!(written(&["a", "", "b\"c", "d,e\r\nf"]), "\"a\",\"\",\"b\"\"c\",\"d,e\r\nf\"\r\n");
    }

    #[test]
    fn formulas_become_text() {
        for field in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\u{feff}\u{1}=1", "＝1", "\0x"]
        {
            assert!(written(&[field]).starts_with("\"'"), "{field:?}");
        }
        for field in ["a=1", "1-1", "ann@example.com", "Mozilla/5.0 (X11)"] {
            assert!(!written(&[field]).starts_with("\"'"), "{field:?}");
        }
    }

    /// A reader as small as the grammar of RFC 4180, section 2.
    fn read(text: &str) -> Vec<String> {
        let mut fields = vec![String::new()];
        let mut quoted = false;
        let mut letters = text.strip_suffix("\r\n").unwrap().chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '"' if quoted && letters.peek() == Some(&'"') => {
                    letters.next();
                    fields.last_mut().unwrap().push('"');
                }
                '"' => quoted = !quoted,
                ',' if !quoted => fields.push(String::new()),
                letter => fields.last_mut().unwrap().push(letter),
            }
        }
        fields
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(fields in prop::collection::vec(".*", 1..6)) {
            let borrowed: Vec<&str> = fields.iter().map(String::as_str).collect();
            let found = read(&written(&borrowed));
            prop_assert_eq!(found.len(), fields.len());
            for (found, field) in found.iter().zip(&fields) {
                prop_assert_eq!(found.strip_prefix('\'').filter(|_| is_formula(field)).unwrap_or(found), field);
                prop_assert!(!found.starts_with(['=', '+', '-', '@', '\t', '\r']));
            }
        }
    }
}
