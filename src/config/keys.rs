//! The table of settings: one row per key. `docs/configuration.md` and `.env.example` are checked against it.

/// One setting of the environment or of `.env`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The name of the environment variable.
    pub name: &'static str,
    /// A secret is never shown, and may also come from the file that `NAME_FILE` names.
    pub secret: bool,
    /// What happens when it is unset, as the documentation says it.
    pub default: &'static str,
    /// What it is for, one sentence of Markdown.
    pub about: &'static str,
}

macro_rules! keys {
    ($($name:ident: $kind:ident, $default:literal, $about:literal;)*) => {
        $(
            #[doc = $about]
            pub const $name: Key =
                Key { name: stringify!($name), secret: keys!(@ $kind), default: $default, about: $about };
        )*
        /// Every setting, in the order of the documentation.
        pub const ALL: &[Key] = &[$($name),*];
    };
    (@ secret) => { true };
    (@ plain) => { false };
}

keys! {
    DATABASE_URL: secret, "required; `data/gatehouse.db` in dev mode",
        "The database: `sqlite:PATH` or a path. A missing file or folder is created.";
    JWT_SECRET: secret, "required; created in dev mode",
        "The root secret from which the keys that seal cookies and stored data are derived: at least 32 random characters.";
    JWT_SECRET_PREVIOUS: secret, "none",
        "The root secret before the present one, while data is still sealed under it: see `gatehouse secrets reencrypt`.";
    ENCRYPTION_KEY: secret, "derived from `JWT_SECRET`; created in dev mode",
        "Keys that seal stored secrets: base64 of 32 bytes each, separated by commas. The first one seals, all of them open.";
    KEY_ROTATION_DAYS: plain, "`90`",
        "A new signing key of each algorithm takes over after this many days, up to 3650. `0` leaves it to `gatehouse keys rotate`.";
    BASE_URL: plain, "required; `http://127.0.0.1:PORT` in dev mode",
        "The address under which browsers and clients reach this service, and its issuer. `https`, except on a loopback host.";
    SERVER_HOST: plain, "`0.0.0.0`; `127.0.0.1` in dev mode",
        "The address to listen on. Dev mode accepts loopback addresses only.";
    SERVER_PORT: plain, "`3000`",
        "The port to listen on. `0` lets the system choose.";
    TLS_CERT_FILE: plain, "off: plain HTTP, for a proxy that ends TLS",
        "The certificate, PEM, followed by those between it and the root. With it the service speaks TLS 1.2 and 1.3 and nothing else; a new one is taken up without a restart.";
    TLS_KEY_FILE: plain, "required with `TLS_CERT_FILE`",
        "The private key that belongs to the certificate, PEM, not encrypted.";
    HTTP_WORKERS: plain, "`4`",
        "How many threads answer requests, from 1 to 256.";
    GITHUB_CLIENT_ID: plain, "off",
        "GitHub sign-in for end users: the client id of the OAuth app.";
    GITHUB_CLIENT_SECRET: secret, "off",
        "The client secret that belongs to `GITHUB_CLIENT_ID`.";
    GOOGLE_CLIENT_ID: plain, "off",
        "Google sign-in for end users: the client id.";
    GOOGLE_CLIENT_SECRET: secret, "off",
        "The client secret that belongs to `GOOGLE_CLIENT_ID`.";
    MICROSOFT_CLIENT_ID: plain, "off",
        "Microsoft sign-in for end users: the application id.";
    MICROSOFT_CLIENT_SECRET: secret, "off",
        "The client secret that belongs to `MICROSOFT_CLIENT_ID`.";
    OIDC_CLIENT_ID: plain, "off",
        "Sign-in for end users through the OpenID provider at `OIDC_ISSUER`: the client id.";
    OIDC_CLIENT_SECRET: secret, "off",
        "The client secret that belongs to `OIDC_CLIENT_ID`.";
    PLATFORM_GITHUB_CLIENT_ID: plain, "off",
        "GitHub sign-in for the platform realm, the people who administer organizations: the client id.";
    PLATFORM_GITHUB_CLIENT_SECRET: secret, "off",
        "The client secret that belongs to `PLATFORM_GITHUB_CLIENT_ID`.";
    PLATFORM_GOOGLE_CLIENT_ID: plain, "off",
        "Google sign-in for the platform realm: the client id.";
    PLATFORM_GOOGLE_CLIENT_SECRET: secret, "off",
        "The client secret that belongs to `PLATFORM_GOOGLE_CLIENT_ID`.";
    PLATFORM_MICROSOFT_CLIENT_ID: plain, "off",
        "Microsoft sign-in for the platform realm: the application id.";
    PLATFORM_MICROSOFT_CLIENT_SECRET: secret, "off",
        "The client secret that belongs to `PLATFORM_MICROSOFT_CLIENT_ID`.";
    PLATFORM_OIDC_CLIENT_ID: plain, "off",
        "Sign-in for the platform realm through the OpenID provider at `OIDC_ISSUER`: the client id.";
    PLATFORM_OIDC_CLIENT_SECRET: secret, "off",
        "The client secret that belongs to `PLATFORM_OIDC_CLIENT_ID`.";
    GITHUB_BASE_URL: plain, "`https://github.com`",
        "The GitHub site: set it for a GitHub Enterprise server.";
    GITHUB_API_URL: plain, "`https://api.github.com`, or `GITHUB_BASE_URL` + `/api/v3` when that is set",
        "The GitHub REST API.";
    GOOGLE_ISSUER: plain, "`https://accounts.google.com`",
        "The issuer of Google's id tokens.";
    MICROSOFT_AUTHORITY: plain, "`https://login.microsoftonline.com/common/v2.0`",
        "The Microsoft authority: a tenant of its own, or a sovereign cloud.";
    OIDC_ISSUER: plain, "required with `OIDC_CLIENT_ID` or `PLATFORM_OIDC_CLIENT_ID`",
        "The issuer of the generic OpenID provider, exactly as the provider writes it.";
    PLATFORM_OWNER_EMAIL: plain, "nobody (dev mode: `admin@example.com`)",
        "Whoever first signs in to the platform realm with this verified e-mail address becomes the platform owner.";
    PLATFORM_ADMIN_REDIRECT_URI: plain, "no sign-in to the platform realm for web apps; terminals can sign in",
        "The one redirect URI that a platform sign-in may name: the page of your admin app that takes the code.";
    PLATFORM_DEVICE_ACTIVATION_URI: plain, "`BASE_URL` + `/activate`",
        "The page where platform administrators type the code that their terminal shows.";
    CORS_ALLOWED_ORIGINS: plain, "none",
        "Origins whose scripts may call `/api` and the endpoints of tokens, separated by commas, such as `https://app.example.com`. Pages of registered redirect URIs may call the endpoints of tokens without standing here.";
    TRUSTED_PROXIES: plain, "none",
        "Addresses or networks of reverse proxies whose forwarded headers count, separated by commas, such as `10.0.0.0/8`.";
    RATE_LIMITS: plain, "`on`; `off` in dev mode",
        "`on`, `off`, or single limits that differ from their defaults, such as `sign_ins=1200/m,device_codes=off`: see [limits](limits.md). Budgets for guessing hold in any case.";
    MAX_CONNECTIONS: plain, "`10000`",
        "Connections at once; more are refused with 503. Fewer where the process may not open so many files.";
    MAX_CONNECTIONS_PER_ADDRESS: plain, "`1000`; `MAX_CONNECTIONS` in dev mode",
        "Connections of one address, a whole /64 for IPv6. Those of `TRUSTED_PROXIES` are not counted.";
    SMTP_URL: secret, "no mail is sent; invitations show their link once, to be passed on",
        "The mail server: `smtps://user:password@host` (TLS from the start, port 465) or `smtp://user:password@host` (STARTTLS, port 587; in clear to loopback hosts only). Percent-encode special characters of user and password.";
    MAIL_FROM: plain, "required with `SMTP_URL`",
        "The sender of mail: an address, or `Name <address>`.";
    LOGIN_EVENT_RETENTION_DAYS: plain, "`90`",
        "How many whole days login events are kept, beside today, from 1 to 3650. What is counted of them per day stays.";
    STRIPE_SECRET_KEY: secret, "events are taken at their word; nothing can be bought",
        "The secret key of the platform's Stripe account: subscriptions are read from Stripe, checkout and portal are offered.";
    STRIPE_WEBHOOK_SECRET: secret, "`/webhooks/stripe` answers 503; created in dev mode",
        "The signing secret of the webhook `BASE_URL/webhooks/stripe`. Several, separated by commas, while one is being replaced.";
    STRIPE_API_BASE: plain, "`https://api.stripe.com`",
        "Stripe's API, or a stand-in for tests.";
    BILLING_PAST_DUE_GRACE_DAYS: plain, "`7`",
        "How many days a subscription whose payment failed still grants its plan, from 0 to 90.";
    BACKUP_FOLDER: plain, "no backups are made",
        "The folder that backups are made in while the service runs, such as `/var/backups/gatehouse`: see [Backups](backup.md).";
    BACKUP_INTERVAL_HOURS: plain, "`24`",
        "How old the newest backup becomes before another is made, from 1 to 720.";
    BACKUP_KEEP: plain, "`7`",
        "How many backups are kept in `BACKUP_FOLDER`, from 1 to 1000.";
    BACKUP_KEY: secret, "backups are not encrypted",
        "Encrypts backups: base64 of 32 bytes. Keep it where neither the backups nor the database are.";
    STRIPE_EVENT_RETENTION_DAYS: plain, "`30`",
        "How many days Stripe's events are kept after they were applied or ignored, from 7 to 3650. Those that were given up are kept a year longer; those that wait stay.";
    METRICS_ADDR: plain, "`/metrics` is at the service's own port for who presents `METRICS_TOKEN`, and nowhere without one (dev mode: open)",
        "The address and port where alone `/metrics` is, such as `127.0.0.1:9464`. Other than loopback only with `METRICS_TOKEN`.";
    METRICS_TOKEN: secret, "none",
        "What a scraper of `/metrics` must present as `Authorization: Bearer`: at least 32 random characters.";
    RUST_LOG: plain, "`info,actix_server=warn`",
        "What is logged, such as `info,gatehouse::device=debug`. Other people's crates never log below `warn`, since they could print secrets.";
    LOG_FORMAT: plain, "`text`",
        "`text` (logfmt) or `json` (one object per line).";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fmt::Write as _;
    use std::path::Path;

    const BEGIN: &str = "<!-- settings: generated from src/config/keys.rs -->\n";
    const END: &str = "<!-- end of settings -->";

    fn table() -> String {
        let mut table = String::from("| Setting | When unset | What it is |\n|---|---|---|\n");
        for key in ALL {
            let file = if key.secret { format!("<br>`{}_FILE`", key.name) } else { String::new() };
            writeln!(table, "| `{}`{file} | {} | {} |", key.name, key.default, key.about).unwrap();
        }
        table
    }

    #[test]
    fn the_documentation_shows_exactly_these_settings() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
        let page = std::fs::read_to_string(&path).unwrap();
        let start = page.find(BEGIN).unwrap() + BEGIN.len();
        let end = page.find(END).unwrap();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            let page = format!("{}{}{}", &page[..start], table(), &page[end..]);
            std::fs::write(&path, page).unwrap();
            return;
        }
        assert!(
            page[start..end] == table(),
            "docs/configuration.md is out of date: run UPDATE_DOCS=1 cargo test --lib config::keys"
        );
    }

    #[test]
    fn the_example_file_names_exactly_these_settings() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".env.example");
        let text = std::fs::read_to_string(path).unwrap();
        let shown: BTreeSet<&str> = text
            .lines()
            .filter_map(|line| line.trim_start_matches('#').split_once('='))
            .map(|(name, _)| name)
            .filter(|name| !name.contains(' '))
            .collect();
        let known: BTreeSet<&str> = ALL.iter().map(|key| key.name).collect();
        assert_eq!(shown, known);
    }
}
