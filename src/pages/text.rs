//! Small text helpers of the pages.

/// How long ago something happened, in words: `just now`, `1 minute ago`, `2 hours ago`. Takes milliseconds;
/// a negative value (clocks differ) counts as now.
#[must_use]
pub fn ago(elapsed_ms: i64) -> String {
    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    let (count, unit) = match elapsed_ms {
        ..10_000 => return "just now".to_owned(),
        10_000..MINUTE => return "less than a minute ago".to_owned(),
        MINUTE..HOUR => (elapsed_ms / MINUTE, "minute"),
        HOUR..DAY => (elapsed_ms / HOUR, "hour"),
        _ => (elapsed_ms / DAY, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural} ago")
}

/// Makes text from the network fit to be read: no control, invisible or direction-changing characters, white
/// space collapsed, at most `limit` characters (an ellipsis marks the cut).
pub(crate) fn tame(text: &str, limit: usize) -> String {
    let visible: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).filter(|c| !deceives(*c)).collect();
    let collapsed = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    match collapsed.char_indices().nth(limit) {
        Some((cut, _)) => format!("{}…", collapsed.get(..cut).unwrap_or_default().trim_end()),
        None => collapsed,
    }
}

/// Filters of the templates, found by askama under this name.
#[allow(unreachable_pub, clippy::inline_always, clippy::unused_self, clippy::unnecessary_wraps)] // as askama wants it
pub(super) mod filters {
    /// A name that somebody chose or sent. Askama escapes it as well; this keeps one name from posing as another
    /// or from pushing the rest of the page out of sight.
    #[askama::filter_fn]
    pub(crate) fn name(text: &str, _: &dyn askama::Values) -> askama::Result<String> {
        Ok(super::tame(text, 160))
    }

    /// The same for a sentence, which may quote what somebody sent.
    #[askama::filter_fn]
    pub(crate) fn sentence(text: &str, _: &dyn askama::Values) -> askama::Result<String> {
        Ok(super::tame(text, 600))
    }
}

/// Zero-width characters and the bidirectional controls of Unicode TR 9.
fn deceives(c: char) -> bool {
    matches!(c, '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_how_long_ago() {
        for (ms, words) in [
            (-5, "just now"),
            (9_999, "just now"),
            (59_999, "less than a minute ago"),
            (60_000, "1 minute ago"),
            (125_000, "2 minutes ago"),
            (3_600_000, "1 hour ago"),
            (50 * 3_600_000, "2 days ago"),
        ] {
            assert_eq!(ago(ms), words, "{ms} ms");
        }
    }

    #[test]
    fn tames_what_a_device_says_about_itself() {
        assert_eq!(tame("curl/8.1\r\n\u{0}x", 64), "curl/8.1 x");
        assert_eq!(tame("a\u{202E}b\u{200B}c\u{FEFF}", 64), "abc");
        assert_eq!(tame("ééééé", 3), "ééé…");
        assert_eq!(tame(" \t ", 3), "");
    }
}
