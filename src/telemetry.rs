//! Log lines: structured, safe to print, and free of other crates' chatter.
//!
//! Two promises. A value cannot forge a line: control characters are escaped in both formats. And no secret reaches
//! the log at any level: whatever the filter says, crates other than ours stay at `warn`, because below it some of
//! them print headers, bodies or keys.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

use log::kv::{self, Key, Value, VisitSource};
use log::{Level, LevelFilter, Log, Metadata, Record};
use serde_json::{Map, Value as Json};

use crate::config::{LogFormat, LogSettings};

/// Crates that may log at any level: ours, whose every line is reviewed for secrets.
const OURS: [&str; 2] = ["gatehouse", "gatehouse_actors"];

/// The key of a request's id.
const REQUEST: &str = "request";

/// Crates whose `info` lines tell of starts and stops, and hold nothing of a request.
const HARMLESS: [&str; 2] = ["actix_server", "actix_rt"];

/// A logger was already installed in this process.
#[derive(Debug, thiserror::Error)]
#[error("logging is already set up")]
pub struct AlreadySetUp;

/// Sends log lines to stderr from here on. Call it once, at start.
pub fn init(settings: &LogSettings) -> Result<(), AlreadySetUp> {
    let format = settings.format;
    let mut builder = env_logger::Builder::new();
    builder.parse_filters(&settings.filter).format(move |out, record| {
        let time = out.timestamp_millis().to_string();
        out.write_all(line(format, &time, record).as_bytes())
    });
    let capped = Capped(builder.build());
    let level = capped.0.filter();
    log::set_boxed_logger(Box::new(capped)).map_err(|_| AlreadySetUp)?;
    log::set_max_level(level);
    Ok(())
}

tokio::task_local! {
    /// The id of the request that this task works on.
    static CURRENT_REQUEST: Rc<str>;
}

/// What is logged while `work` goes on carries this request's id.
pub async fn in_request<T>(id: Rc<str>, work: impl Future<Output = T>) -> T {
    CURRENT_REQUEST.scope(id, work).await
}

/// The id of the request that a line belongs to and does not name itself.
fn request_of(record: &Record<'_>) -> Option<Rc<str>> {
    let named = record.key_values().get(Key::from(REQUEST)).is_some();
    if named { None } else { CURRENT_REQUEST.try_with(Rc::clone).ok() }
}

/// Set once the listening socket was closed on purpose.
static ACCEPT_ERRORS_ARE_EXPECTED: AtomicBool = AtomicBool::new(false);

/// From here on nothing is logged about connections that cannot be accepted: the process stops and accepts no more.
pub fn accept_errors_are_expected() {
    ACCEPT_ERRORS_ARE_EXPECTED.store(true, Ordering::Relaxed);
}

/// Holds other people's crates at `warn`.
struct Capped<L>(L);

impl<L: Log> Log for Capped<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= cap(metadata.target()) && self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        // A crate may log under any target it likes, so the module that the line stands in counts as well.
        let module = record.module_path().unwrap_or_else(|| record.target());
        if record.target() == "actix_server::accept" && ACCEPT_ERRORS_ARE_EXPECTED.load(Ordering::Relaxed) {
            return;
        }
        if is_a_peers_doing(record) {
            return;
        }
        if record.level() <= cap(record.target()).min(cap(module)) {
            self.0.log(record);
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

/// What a peer sent that is no HTTP was answered with 400. An operator can do nothing about it, and whoever sends it could
/// fill the log.
fn is_a_peers_doing(record: &Record<'_>) -> bool {
    record.target() == "actix_http::h1::dispatcher"
        && record.args().to_string().starts_with("stream error: request parse error")
}

/// The most that lines under this target may say. An allow-list, so that a crate that is new here stays quiet.
fn cap(target: &str) -> LevelFilter {
    let name = target.split("::").next().unwrap_or_default();
    if OURS.contains(&name) {
        LevelFilter::Trace
    } else if HARMLESS.contains(&name) {
        LevelFilter::Info
    } else {
        LevelFilter::Warn
    }
}

/// One finished line, with its line break.
fn line(format: LogFormat, time: &str, record: &Record<'_>) -> String {
    match format {
        LogFormat::Text => text_line(time, record),
        LogFormat::Json => json_line(time, record),
    }
}

fn text_line(time: &str, record: &Record<'_>) -> String {
    let mut line = format!("{time} {} ", record.level());
    push_escaped(&mut line, record.target());
    line.push(' ');
    let message = text_of(record.args());
    // A message with = in it could pass for a key and its value.
    if message.contains(['=', '"']) {
        push_quoted(&mut line, &message);
    } else {
        push_escaped(&mut line, &message);
    }
    // The visitor never fails, and a value that cannot be formatted must not cost the line.
    let _ = record.key_values().visit(&mut TextPairs(&mut line));
    if let Some(id) = request_of(record) {
        let _ = TextPairs(&mut line).visit_pair(Key::from(REQUEST), Value::from(&*id));
    }
    line.push('\n');
    line
}

/// The text of a message; most are constant.
fn text_of<'a>(args: &fmt::Arguments<'a>) -> Cow<'a, str> {
    args.as_str().map_or_else(|| Cow::Owned(args.to_string()), Cow::Borrowed)
}

struct TextPairs<'a>(&'a mut String);

impl<'kvs> VisitSource<'kvs> for TextPairs<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        self.0.push(' ');
        let plain_key = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '.';
        self.0.extend(key.as_str().chars().map(|letter| if plain_key(letter) { letter } else { '_' }));
        self.0.push('=');
        if let Some(number) = value.to_i64() {
            let _ = write!(self.0, "{number}"); // writing to a String cannot fail
            return Ok(());
        }
        let text = value.to_borrowed_str().map_or_else(|| Cow::Owned(value.to_string()), Cow::Borrowed);
        if text.is_empty() || text.contains(|letter: char| needs_quotes(letter)) {
            push_quoted(self.0, &text);
        } else {
            self.0.push_str(&text);
        }
        Ok(())
    }
}

fn needs_quotes(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, '"' | '\\' | '=') || is_unprintable(letter)
}

fn push_quoted(line: &mut String, text: &str) {
    line.push('"');
    for letter in text.chars() {
        if matches!(letter, '"' | '\\') {
            line.push('\\');
        }
        push_letter(line, letter);
    }
    line.push('"');
}

fn push_escaped(line: &mut String, text: &str) {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return line.push_str(text);
    }
    text.chars().for_each(|letter| push_letter(line, letter));
}

fn push_letter(line: &mut String, letter: char) {
    if is_unprintable(letter) { line.extend(letter.escape_default()) } else { line.push(letter) }
}

/// Letters that break lines, steer a terminal, or show text in another order than it is written in.
fn is_unprintable(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn json_line(time: &str, record: &Record<'_>) -> String {
    let mut fields = JsonPairs(Map::new());
    let _ = record.key_values().visit(&mut fields); // as above: the visitor never fails
    if let Some(id) = request_of(record) {
        fields.0.insert(REQUEST.to_owned(), Json::from(&*id));
    }
    let level = match record.level() {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    };
    let object =
        JsonLine { time, level, target: record.target(), message: &text_of(record.args()), fields: fields.0 };
    let mut line = String::new();
    // JSON escapes line breaks and most of what steers a terminal; the rest is escaped here, in JSON's own way.
    for letter in serde_json::to_string(&object).unwrap_or_default().chars() {
        push_json_letter(&mut line, letter);
    }
    line.push('\n');
    line
}

fn push_json_letter(line: &mut String, letter: char) {
    if !is_unprintable(letter) {
        return line.push(letter);
    }
    let mut units = [0_u16; 2];
    for unit in letter.encode_utf16(&mut units) {
        let _ = write!(line, "\\u{unit:04x}"); // writing to a String cannot fail
    }
}

#[derive(serde::Serialize)]
struct JsonLine<'a> {
    time: &'a str,
    level: &'a str,
    target: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Map::is_empty")]
    fields: Map<String, Json>,
}

struct JsonPairs(Map<String, Json>);

impl<'kvs> VisitSource<'kvs> for JsonPairs {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        let json = if let Some(flag) = value.to_bool() {
            Json::from(flag)
        } else if let Some(number) = value.to_u64() {
            Json::from(number)
        } else if let Some(number) = value.to_i64() {
            Json::from(number)
        } else if let Some(number) = value.to_f64() {
            Json::from(number)
        } else {
            Json::from(value.to_string())
        };
        self.0.insert(key.as_str().to_owned(), json);
        Ok(())
    }
}

/// Text from outside made safe for a terminal: what steers the terminal is escaped.
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        push_escaped(&mut text, self.0);
        f.write_str(&text)
    }
}

/// Writes the last line of a process that could not start, in the same shape as its log.
pub fn print_failure(out: &mut dyn Write, error: &dyn std::error::Error) -> io::Result<()> {
    let mut text = format!("error: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        let why = inner.to_string();
        // Many errors end with their cause's text already.
        if !text.ends_with(&why) {
            let _ = write!(text, ": {why}"); // writing to a String cannot fail
        }
        cause = inner.source();
    }
    writeln!(out, "{}", Printable(&text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    const TIME: &str = "2026-11-24T10:00:00.123Z";

    fn written(format: LogFormat, message: &str, pairs: &[(&str, &str)]) -> String {
        let args = format_args!("{message}");
        line(
            format,
            TIME,
            &Record::builder()
                .level(Level::Info)
                .target("gatehouse::server")
                .args(args)
                .key_values(&pairs)
                .build(),
        )
    }

    #[test]
    fn a_text_line_is_logfmt() {
        let line =
            written(LogFormat::Text, "listening", &[("url", "http://127.0.0.1:3000"), ("agent", "a b")]);
        let expected =
            format!("{TIME} INFO gatehouse::server listening url=http://127.0.0.1:3000 agent=\"a b\"\n");
        assert_eq!(line, expected);
    }

    #[test]
    fn nothing_in_a_value_or_message_forges_a_line_or_a_pair() {
        let nasty = "x\n2026 ERROR y\r\u{1b}[2J\u{2028}\u{202e}\u{85}\" user=admin \\";
        for format in [LogFormat::Text, LogFormat::Json] {
            let line = written(format, nasty, &[("agent", nasty), ("empty", "")]);
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            assert!(line.trim_end_matches('\n').chars().all(|letter| !is_unprintable(letter)), "{line:?}");
        }
        let text = written(LogFormat::Text, "user=admin", &[("k y=z", "a=b")]);
        assert!(text.ends_with("gatehouse::server \"user=admin\" k_y_z=\"a=b\"\n"), "{text}");
    }

    #[test]
    fn a_json_line_gives_back_what_was_logged() {
        let nasty = "a\nb\u{2028}\u{1b}\"\\\u{e0001}";
        let line = written(LogFormat::Json, nasty, &[("agent", nasty)]);
        let json: Json = serde_json::from_str(&line).unwrap();
        assert_eq!(json["message"], nasty);
        assert_eq!(json["fields"]["agent"], nasty);
        assert_eq!((json["level"].as_str(), json["time"].as_str()), (Some("info"), Some(TIME)));

        let pairs: &[(&str, Value<'_>)] = &[("n", Value::from(7)), ("ok", Value::from(true))];
        let record = Record::builder().level(Level::Warn).args(format_args!("x")).key_values(&pairs).build();
        let json: Json = serde_json::from_str(&json_line(TIME, &record)).unwrap();
        assert_eq!(json["fields"], serde_json::json!({"n": 7, "ok": true}));
    }

    #[actix_web::test]
    async fn every_line_of_a_request_carries_its_id_once() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let outside = written(format, "x", &[]);
            assert!(!outside.contains("request"), "{outside}");
            let (inside, named) = in_request("id-of-request".into(), async {
                tokio::task::yield_now().await;
                (written(format, "x", &[("k", "v")]), written(format, "x", &[("request", "another-id")]))
            })
            .await;
            assert_eq!(inside.matches("id-of-request").count(), 1, "{inside}");
            assert!(named.contains("another-id") && !named.contains("id-of-request"), "{named}");
        }
    }

    #[derive(Debug, thiserror::Error)]
    enum Failure {
        #[error("cannot listen: {0}")]
        Told(#[source] io::Error),
        #[error("cannot listen")]
        Untold(#[source] io::Error),
    }

    #[test]
    fn a_failure_tells_its_cause_once() {
        for error in [Failure::Told(io::Error::other("taken")), Failure::Untold(io::Error::other("taken"))] {
            let mut out = Vec::new();
            print_failure(&mut out, &error).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), "error: cannot listen: taken\n");
        }
    }

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Log for Heard {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &Record<'_>) {
            self.0.lock().unwrap().push(format!("{} {}", record.target(), record.level()));
        }
        fn flush(&self) {}
    }

    #[test]
    fn other_crates_stay_at_warn_whatever_the_filter_says() {
        let logger = Capped(Heard::default());
        let say = |target: &str, module: &str, level| {
            let args = format_args!("authorization: Bearer x");
            let record =
                Record::builder().target(target).module_path(Some(module)).level(level).args(args).build();
            logger.log(&record);
        };
        for name in
            ["awc::client", "actix_http::h1", "h2", "rustls::conn", "oauth2", "gatehouse_evil", "new_crate"]
        {
            for level in [Level::Info, Level::Debug, Level::Trace] {
                assert!(!logger.enabled(&Metadata::builder().target(name).level(level).build()), "{name}");
                say(name, name, level);
            }
        }
        say("gatehouse", "awc::client", Level::Debug); // a foreign line under our name
        assert!(logger.0.0.lock().unwrap().is_empty());
        say("awc", "awc", Level::Warn);
        say("actix_server", "actix_server", Level::Info);
        say("gatehouse::login", "gatehouse::login", Level::Trace);
        assert_eq!(*logger.0.0.lock().unwrap(), ["awc WARN", "actix_server INFO", "gatehouse::login TRACE"]);
    }
}
