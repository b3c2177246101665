use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use oauth2::http::{Method, Request};

use super::*;

const PUBLIC: &str = "93.184.215.14";

/// Answers each lookup with the next line of a script, the last one over and over.
struct Script {
    answers: RefCell<Vec<Vec<IpAddr>>>,
    lookups: Cell<usize>,
}

impl Script {
    fn new(answers: &[&[&str]]) -> Rc<Self> {
        let parsed = answers.iter().rev().map(|answer| answer.iter().map(|ip| ip.parse().unwrap()).collect());
        Rc::new(Self { answers: RefCell::new(parsed.collect()), lookups: Cell::new(0) })
    }
}

impl Resolve for Script {
    fn lookup<'a>(
        &'a self,
        _: &'a str,
        port: u16,
    ) -> LocalBoxFuture<'a, Result<Vec<SocketAddr>, Box<dyn StdError>>> {
        self.lookups.set(self.lookups.get() + 1);
        let mut answers = self.answers.borrow_mut();
        let answer = if answers.len() > 1 { answers.pop().unwrap() } else { answers[0].clone() };
        Box::pin(async move { Ok(answer.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()) })
    }
}

fn limits() -> Limits {
    Limits { connect: Duration::from_secs(2), total: Duration::from_secs(2), body: 1024 }
}

fn scripted(policy: AddressPolicy, script: &Rc<Script>) -> GuardedClient {
    GuardedClient::with(policy, Rc::clone(script) as Rc<dyn Resolve>, limits())
}

fn strict() -> GuardedClient {
    GuardedClient::new(AddressPolicy::Public)
}

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

/// A port of this machine that must stay untouched.
struct Bait(TcpListener);

impl Bait {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    fn assert_untouched(&self) {
        let nobody = self.0.accept().map(|_| ()).unwrap_err();
        assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock, "somebody connected");
    }
}

/// Answers connections one after another, each with `head`.
fn serve(head: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(head.as_bytes());
        }
    });
    port
}

async fn get(client: &GuardedClient, url: &Url) -> Result<serde_json::Value, UpstreamError> {
    client.as_http().get_json(url, None).await
}

#[actix_web::test]
async fn no_spelling_of_this_machine_is_reached() {
    let bait = Bait::new();
    for host in [
        "127.0.0.1",
        "localhost",
        "localhost.",
        "LOCALHOST",
        "2130706433",
        "0177.1",
        "0x7f.1",
        "127.1",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "169.254.169.254",
        "[fd00::1]",
        "[fe80::1]",
        "100.64.1.1",
        "10.0.0.1",
        "192.168.0.1",
        "192.0.0.8",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
    ] {
        for scheme in ["https", "http"] {
            let url = url(&format!("{scheme}://{host}:{}/", bait.port()));
            assert_eq!(strict().check(&url).await, Err(UpstreamError::Forbidden), "check {url}");
            assert_eq!(get(&strict(), &url).await, Err(UpstreamError::Forbidden), "connect {url}");
        }
    }
    bait.assert_untouched();
}

#[actix_web::test]
async fn a_host_that_no_parser_has_tidied_is_judged_by_where_it_leads() {
    let bait = Bait::new();
    for host in ["2130706433", "0177.1", "localhost."] {
        let uri = format!("https://{host}:{}/", bait.port());
        let request = Request::builder().method(Method::GET).uri(uri).body(Vec::new()).unwrap();
        assert_eq!(strict().send(request).await.err(), Some(UpstreamError::Forbidden), "{host}");
    }
    bait.assert_untouched();
}

#[actix_web::test]
async fn only_https_and_no_user_is_accepted() {
    for text in [
        "http://example.test/",
        "file:///etc/passwd",
        "gopher://example.test/",
        "ftp://example.test/",
        "https://user@example.test/",
        "https://user:password@example.test/",
        "data:text/plain,x",
    ] {
        let script = Script::new(&[&[PUBLIC]]);
        let client = scripted(AddressPolicy::Public, &script);
        assert_eq!(client.check(&url(text)).await, Err(UpstreamError::Forbidden), "{text}");
        assert_eq!(script.lookups.get(), 0, "{text}");
    }
    let plain = scripted(AddressPolicy::Public, &Script::new(&[&[PUBLIC]]));
    assert_eq!(get(&plain, &url("http://example.test/")).await, Err(UpstreamError::Forbidden));
    assert_eq!(plain.check(&url("https://example.test/")).await, Ok(()));
}

#[actix_web::test]
async fn a_name_that_changes_its_mind_after_the_check_is_not_followed() {
    let bait = Bait::new();
    let script = Script::new(&[&[PUBLIC], &["127.0.0.1"]]);
    let client = scripted(AddressPolicy::Public, &script);
    let url = url(&format!("https://rebinding.test:{}/", bait.port()));
    assert_eq!(client.check(&url).await, Ok(()), "the first answer is public");
    assert_eq!(get(&client, &url).await, Err(UpstreamError::Forbidden), "the second is not");
    bait.assert_untouched();
}

#[actix_web::test]
async fn a_connection_asks_once_and_goes_where_the_answer_said() {
    let port = serve("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}");
    // Were the name asked for again after the check, the answer would be an address where nobody is.
    let script = Script::new(&[&["127.0.0.1"], &["127.0.0.99"]]);
    let client = scripted(AddressPolicy::PublicOrLoopback, &script);
    let url = url(&format!("http://rebinding.test:{port}/"));
    assert!(get(&client, &url).await.is_ok());
    assert_eq!(script.lookups.get(), 1);
    assert!(get(&client, &url).await.is_err());
    assert_eq!(script.lookups.get(), 2);
}

#[actix_web::test]
async fn one_bad_address_condemns_the_name() {
    let bait = Bait::new();
    for answer in [&[PUBLIC, "127.0.0.1"], &["127.0.0.1", PUBLIC], &["2606:4700::1111", "::ffff:7f00:1"]] {
        let client = scripted(AddressPolicy::Public, &Script::new(&[answer]));
        let url = url(&format!("https://mixed.test:{}/", bait.port()));
        assert_eq!(get(&client, &url).await, Err(UpstreamError::Forbidden), "{answer:?}");
    }
    bait.assert_untouched();
}

#[actix_web::test]
async fn a_redirect_to_the_inside_is_an_answer_and_not_a_way() {
    let bait = Bait::new();
    let head = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:{}/\r\ncontent-length: 0\r\n\r\n",
        bait.port()
    );
    let port = serve(head.leak());
    let client = GuardedClient::new(AddressPolicy::PublicOrLoopback);
    let url = url(&format!("http://127.0.0.1:{port}/"));
    assert_eq!(get(&client, &url).await, Err(UpstreamError::Status(307)));
    bait.assert_untouched();
}

#[actix_web::test]
async fn a_name_without_addresses_is_unreachable_and_not_forbidden() {
    let client = scripted(AddressPolicy::Public, &Script::new(&[&[]]));
    let unresolved = Err(UpstreamError::Unreachable("name does not resolve"));
    assert_eq!(client.check(&url("https://nobody.test/")).await, unresolved);
    assert_eq!(get(&client, &url("https://nobody.test/")).await.map(|_| ()), unresolved);
}
