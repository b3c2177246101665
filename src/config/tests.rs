//! The whole configuration, from raw settings to types or problems.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::provider::ProviderEndpoints;
use super::*;

const ROOT: &str = "Zk3vQ8rT1xWn6Yb0LpHs5Uc9GdJe2Ma7";

struct Given {
    folder: PathBuf,
    values: BTreeMap<String, String>,
}

impl Source for Given {
    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    fn folder(&self) -> &Path {
        &self.folder
    }
}

fn given(values: &[(&str, &str)]) -> Given {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Given { folder: PathBuf::new(), values }
}

fn production(more: &[(&str, &str)]) -> Given {
    let mut source = given(&[
        ("DATABASE_URL", "sqlite:/srv/gatehouse.db"),
        ("JWT_SECRET", ROOT),
        ("BASE_URL", "https://Login.Example.com/"),
    ]);
    source.values.extend(given(more).values);
    source
}

/// The settings that are wrong, in the order of the report.
fn wrong(source: &Given, mode: Mode) -> Vec<String> {
    let problems = Config::check(source, mode).err().unwrap_or_default();
    problems.as_slice().iter().map(|problem| problem.key.clone()).collect()
}

#[test]
fn production_assumes_nothing() {
    let keys = wrong(&given(&[]), Mode::Production);
    assert_eq!(keys, ["DATABASE_URL", "JWT_SECRET", "BASE_URL"]);
}

#[test]
fn a_good_configuration_becomes_types() {
    let config = Config::load(
        &production(&[("CORS_ALLOWED_ORIGINS", "https://a.test, https://b.test")]),
        Mode::Production,
    );
    let config = config.unwrap();
    assert_eq!(config.database_path, Path::new("/srv/gatehouse.db"));
    assert_eq!(config.root_secret.expose(), ROOT.as_bytes());
    assert!(config.encryption_keys.is_empty());
    assert_eq!(without_trailing_slash(config.base_url.as_ref().unwrap()), "https://login.example.com");
    assert_eq!((config.host.to_string().as_str(), config.port, config.workers), ("0.0.0.0", 3000, 4));
    assert_eq!(config.cors_allowed_origins, ["https://a.test", "https://b.test"]);
    assert_eq!(config.log, LogSettings::default());
}

#[test]
fn every_problem_is_reported_at_once_and_no_secret_with_it() {
    let source = production(&[
        ("DATABASE_URL", "postgres://user:hunter2@db/x"),
        ("JWT_SECRET", "hunter2"),
        ("ENCRYPTION_KEY", "hunter2"),
        ("BASE_URL", "http://login.example.com"),
        ("SERVER_HOST", "everywhere"),
        ("SERVER_PORT", "70000"),
        ("HTTP_WORKERS", "0"),
        ("GITHUB_CLIENT_SECRET", "hunter2"),
        ("GOOGLE_CLIENT_ID", "x"),
        ("OIDC_CLIENT_ID", "x"),
        ("OIDC_CLIENT_SECRET", "hunter2"),
        ("GOOGLE_ISSUER", "http://accounts.example.com"),
        ("PLATFORM_OWNER_EMAIL", "nobody"),
        ("PLATFORM_ADMIN_REDIRECT_URI", "https://a.test/#x"),
        ("CORS_ALLOWED_ORIGINS", "*"),
        ("TRUSTED_PROXIES", "0.0.0.0/0"),
        ("RUST_LOG", "loud=very"),
        ("LOG_FORMAT", "xml"),
    ]);
    let mut expected = vec![
        "DATABASE_URL",
        "JWT_SECRET",
        "ENCRYPTION_KEY",
        "BASE_URL",
        "SERVER_HOST",
        "SERVER_PORT",
        "HTTP_WORKERS",
        "GOOGLE_ISSUER",
        "GITHUB_CLIENT_ID",
        "GOOGLE_CLIENT_SECRET",
        "OIDC_ISSUER",
        "PLATFORM_OWNER_EMAIL",
        "PLATFORM_ADMIN_REDIRECT_URI",
        "CORS_ALLOWED_ORIGINS",
        "TRUSTED_PROXIES",
        "RUST_LOG",
        "LOG_FORMAT",
    ];
    let mut found = wrong(&source, Mode::Production);
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);

    let text = Config::load(&source, Mode::Production).unwrap_err().to_string();
    assert!(text.starts_with("the configuration has 17 problems:\n\n  DATABASE_URL\n"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn a_certificate_comes_with_its_key_and_with_https() {
    fn of(more: &[(&str, &str)]) -> Vec<String> {
        wrong(&production(more), Mode::Production)
    }
    let (certificate, key) = (("TLS_CERT_FILE", "/absent"), ("TLS_KEY_FILE", "/absent"));
    assert_eq!(of(&[certificate]), ["TLS_KEY_FILE"]);
    assert_eq!(of(&[key]), ["TLS_CERT_FILE"]);
    let all = of(&[certificate, key, ("BASE_URL", "http://127.0.0.1")]);
    assert_eq!(all, ["TLS_CERT_FILE", "TLS_KEY_FILE", "BASE_URL"]);
    assert_eq!(wrong(&given(&[certificate, key]), Mode::Dev), ["TLS_CERT_FILE"]);
}

#[test]
fn databases() {
    let paths = [
        ("sqlite:a/b.db", "a/b.db"),
        ("sqlite:/a/b.db", "/a/b.db"),
        ("sqlite:///a/b.db", "/a/b.db"),
        ("sqlite://a.db", "a.db"),
        ("./a.db", "./a.db"),
        ("/a/b:c.db", "/a/b:c.db"),
    ];
    for (text, path) in paths {
        assert_eq!(database(text).ok().as_deref(), Some(Path::new(path)), "{text}");
    }
    for bad in [
        "sqlite:",
        "sqlite::memory:",
        "sqlite:a.db?mode=ro",
        "mysql://a/b",
        "postgresql://a/b",
        "/",
        "/tmp",
        "a/",
    ] {
        assert!(database(bad).is_err(), "{bad}");
    }
}

#[test]
fn dev_mode_creates_what_is_missing_and_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let source = Given { folder: folder.path().to_owned(), values: BTreeMap::new() };
    Config::check(&source, Mode::Dev).unwrap();
    assert!(!folder.path().join("data").exists(), "a check creates nothing");

    let first = Config::load(&source, Mode::Dev).unwrap();
    let second = Config::load(&source, Mode::Dev).unwrap();
    assert_eq!(first.root_secret.expose(), second.root_secret.expose());
    assert_eq!(first.encryption_keys[0].expose(), second.encryption_keys[0].expose());
    assert_eq!(first.encryption_keys[0].expose().len(), strength::ENCRYPTION_KEY_BYTES);
    assert_eq!(first.database_path, folder.path().join("data/gatehouse.db"));
    assert_eq!((first.host.to_string().as_str(), first.base_url), ("127.0.0.1", None));
}

#[test]
fn dev_mode_stays_on_this_machine() {
    let source = given(&[("SERVER_HOST", "0.0.0.0"), ("BASE_URL", "https://login.example.com")]);
    assert_eq!(wrong(&source, Mode::Dev), ["BASE_URL", "SERVER_HOST"]);
}

#[test]
fn a_secret_may_come_from_a_file_but_not_from_two_places() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, format!("{ROOT}\n")).unwrap();
    let path = path.to_str().unwrap();

    let mut source = production(&[("JWT_SECRET_FILE", path)]);
    assert_eq!(wrong(&source, Mode::Production), ["JWT_SECRET"]);
    source.values.remove("JWT_SECRET");
    assert_eq!(Config::load(&source, Mode::Production).unwrap().root_secret.expose(), ROOT.as_bytes());
    source.values.insert("JWT_SECRET_FILE".into(), "/nonexistent".into());
    assert_eq!(wrong(&source, Mode::Production), ["JWT_SECRET_FILE"]);
}

#[test]
fn providers_have_their_own_clients_in_each_realm() {
    let source = production(&[
        ("GITHUB_CLIENT_ID", "org"),
        ("GITHUB_CLIENT_SECRET", "a"),
        ("PLATFORM_GITHUB_CLIENT_ID", "platform"),
        ("PLATFORM_GITHUB_CLIENT_SECRET", "b"),
        ("GITHUB_BASE_URL", "https://git.example.com/"),
        ("MICROSOFT_CLIENT_ID", "m"),
        ("MICROSOFT_CLIENT_SECRET", "c"),
    ]);
    let config = Config::load(&source, Mode::Production).unwrap();
    let kinds: Vec<_> = config.providers.keys().copied().collect();
    assert_eq!(kinds, [ProviderKind::GitHub, ProviderKind::Microsoft]);
    assert_eq!(config.platform_providers[&ProviderKind::GitHub].client_id, "platform");
    let ProviderEndpoints::GitHub { api_url, .. } = &config.providers[&ProviderKind::GitHub].endpoints else {
        panic!("GitHub has its own kind of endpoints");
    };
    assert_eq!(api_url.as_str(), "https://git.example.com/api/v3");
    let ProviderEndpoints::OpenId { issuer } = &config.providers[&ProviderKind::Microsoft].endpoints else {
        panic!("Microsoft speaks OpenID Connect");
    };
    assert_eq!(issuer, "https://login.microsoftonline.com/common/v2.0");
    assert!(!format!("{config:?}").contains(ROOT));
}

#[test]
fn an_empty_setting_is_an_unset_one() {
    let config =
        Config::load(&production(&[("SERVER_PORT", ""), ("GITHUB_CLIENT_ID", " ")]), Mode::Production);
    assert_eq!(config.unwrap().port, 3000);
}

#[test]
fn figures_are_not_shown_to_the_outside_without_a_token() {
    let with = |settings: &[(&str, &str)], mode| match mode {
        Mode::Production => wrong(&production(settings), mode),
        Mode::Dev => wrong(&given(settings), mode),
    };
    let (outside, inside, token) =
        (("METRICS_ADDR", "0.0.0.0:9464"), ("METRICS_ADDR", "[::1]:9464"), ("METRICS_TOKEN", ROOT));
    assert_eq!(with(&[outside], Mode::Production), ["METRICS_ADDR"]);
    assert_eq!(with(&[outside, token], Mode::Production), Vec::<String>::new());
    assert_eq!(with(&[inside], Mode::Production), Vec::<String>::new());
    assert_eq!(with(&[outside, token], Mode::Dev), ["METRICS_ADDR"]);
    assert_eq!(with(&[outside, ("METRICS_TOKEN", "short")], Mode::Production), ["METRICS_TOKEN"]);
    assert_eq!(with(&[("METRICS_ADDR", "9464")], Mode::Production), ["METRICS_ADDR"]);
    let localhost = Config::check(&production(&[("METRICS_ADDR", "localhost:9464")]), Mode::Production);
    assert_eq!(localhost.unwrap().metrics.address.unwrap().to_string(), "127.0.0.1:9464");
}
