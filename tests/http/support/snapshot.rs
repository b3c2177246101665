//! Snapshots: text files beside the tests, compared exactly. `UPDATE_SNAPSHOTS=1` writes them anew; read the diff.

use std::path::PathBuf;

/// Compares `actual` with `tests/http/snapshots/{name}.txt`.
#[track_caller]
pub(crate) fn assert_snapshot(name: &str, actual: &str) {
    let folder = [env!("CARGO_MANIFEST_DIR"), "tests", "http", "snapshots"];
    let path = folder.iter().collect::<PathBuf>().join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        return std::fs::write(&path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    if let Some((number, (expected, actual))) = lines(&expected, actual) {
        panic!(
            "{name}.txt differs in line {number}\n expected: {expected}\n   actual: {actual}\n\
             If the change is meant: UPDATE_SNAPSHOTS=1 cargo test --test http, and read the diff."
        );
    }
}

/// The first line in which two texts differ.
fn lines<'t>(expected: &'t str, actual: &'t str) -> Option<(usize, (&'t str, &'t str))> {
    let end = std::iter::once("(end)");
    let (mut expected, mut actual) = (expected.split('\n').chain(end.clone()), actual.split('\n').chain(end));
    (1..).map_while(|number| Some((number, (expected.next()?, actual.next()?)))).find(|(_, (a, b))| a != b)
}

/// What a person reads on a page, one line per piece of text. Empty for what is no page.
pub(crate) fn visible_text(html: &str) -> String {
    let (_, main) = html.split_once("<main").unwrap_or(("", html));
    let main = main.split_once("</main>").map_or(main, |(main, _)| main);
    let pieces = main.split('<').filter_map(|piece| piece.split_once('>')).map(|(_, text)| text.trim());
    pieces.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
}
