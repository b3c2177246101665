//! Every limit of the process, by name: what an operator may set, and what holds in any case.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::device_codes::DEVICE_CODE_LIFETIME;

use super::rate::{BudgetSpent, Quota, Rate};

/// Wrong guesses of one address within a quarter of an hour: enough for honest mistakes, also behind a shared address.
pub const GUESSES: Quota = Quota { count: 30, per: DEVICE_CODE_LIFETIME };
/// Registrations of all addresses together.
const REGISTRATIONS_IN_ALL: Quota = Quota { count: 300, per: DEVICE_CODE_LIFETIME };

macro_rules! settable {
    ($($name:ident: $count:literal / $per:literal, $of:literal, $about:literal;)+) => {
        /// The limits that `RATE_LIMITS` names. None: off.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct Quotas {
            $(#[doc = $about] pub $name: Option<Quota>,)+
        }

        impl Default for Quotas {
            fn default() -> Self {
                Self { $($name: Some(Quota { count: $count, per: $per }),)+ }
            }
        }

        impl Quotas {
            /// Nothing is limited.
            pub const OFF: Self = Self { $($name: None,)+ };

            /// Name, what has a budget of its own, what it counts.
            pub const ABOUT: &[(&str, &str, &str)] = &[$((stringify!($name), $of, $about)),+];

            /// The limit of that name.
            pub fn named(&mut self, name: &str) -> Option<&mut Option<Quota>> {
                match name {
                    $(stringify!($name) => Some(&mut self.$name),)+
                    _ => None,
                }
            }
        }
    };
}

settable! {
    requests: 60_000 / 60_000, "address", "Requests of any kind but health checks, metrics, assets and Stripe's events.";
    sign_ins: 600 / 60_000, "address", "Beginnings of a sign-in: `/oauth/authorize`, `/oauth/par`, `/auth/{provider}`.";
    token_failures: 600 / 60_000, "address", "Codes, refresh tokens and clients that the endpoints of tokens refused, unless a client proved who it is. Polling counts nothing.";
    device_codes: 600 / 60_000, "address", "Device codes that are issued.";
    device_codes_of_client: 30_000 / 60_000, "client", "The same for one client.";
    refreshes: 6_000 / 60_000, "address", "Refreshes.";
    introspections: 120_000 / 60_000, "client", "Introspections and revocations.";
    invitations: 200 / 3_600_000, "organization", "Invitations that are created.";
    invitation_mails: 10 / 3_600_000, "invited address", "Invitations to one e-mail address, from whichever organization.";
    calls_outside: 60 / 60_000, "account", "What makes us call others: checkout, portal, webhook pings, credentials.";
}

/// Limits that `RATE_LIMITS` does not name: against guessing and hoarding, and those on connections.
const OTHERS: [&str; 6] = [
    "user_codes",
    "client_secrets",
    "invitation_tokens",
    "registrations",
    "connections",
    "connections_of_address",
];

/// The names of all limits.
pub fn names() -> impl Iterator<Item = &'static str> {
    Quotas::ABOUT.iter().map(|(name, _, _)| *name).chain(OTHERS)
}

/// The limits with their state.
pub struct Limits {
    /// See [`Quotas`].
    pub requests: Rate<IpAddr>,
    /// See [`Quotas`].
    pub sign_ins: Rate<IpAddr>,
    /// See [`Quotas`].
    pub token_failures: Rate<IpAddr>,
    /// See [`Quotas`].
    pub device_codes: Rate<IpAddr>,
    /// By the row of the service.
    pub device_codes_of_client: Rate<i64>,
    /// See [`Quotas`].
    pub refreshes: Rate<IpAddr>,
    /// By the row of the service.
    pub introspections: Rate<i64>,
    /// By the row of the organization.
    pub invitations: Rate<i64>,
    /// By a hash of the invited address.
    pub invitation_mails: Rate<u64>,
    /// By the row of the user.
    pub calls_outside: Rate<i64>,
    /// Guesses at tokens of invitations, which are too long to be hit: it keeps the noise down.
    pub invitation_tokens: Rate<IpAddr>,
    /// Guesses at the secret of a client: per client and address, so that whoever guesses locks out nobody else.
    pub client_secrets: Rate<(i64, IpAddr)>,
    /// Organizations that nobody in particular registers: each takes a slug and waits for a platform owner.
    pub registrations: Registrations,
    hasher: RandomState,
}

impl Limits {
    /// With nothing spent.
    #[must_use]
    pub fn new(quotas: &Quotas) -> Self {
        Self {
            requests: Rate::new(quotas.requests),
            sign_ins: Rate::new(quotas.sign_ins),
            token_failures: Rate::new(quotas.token_failures),
            device_codes: Rate::new(quotas.device_codes),
            device_codes_of_client: Rate::new(quotas.device_codes_of_client),
            refreshes: Rate::new(quotas.refreshes),
            introspections: Rate::new(quotas.introspections),
            invitations: Rate::new(quotas.invitations),
            invitation_mails: Rate::new(quotas.invitation_mails),
            calls_outside: Rate::new(quotas.calls_outside),
            invitation_tokens: Rate::new(Some(GUESSES)),
            client_secrets: Rate::new(Some(GUESSES)),
            registrations: Registrations::default(),
            hasher: RandomState::new(),
        }
    }

    /// A text as a key. Nobody outside can make two that are equal.
    #[must_use]
    pub fn hash(&self, text: &str) -> u64 {
        self.hasher.hash_one(text)
    }
}

/// A bound per address and one for everybody.
pub struct Registrations {
    of_address: Rate<IpAddr>,
    of_all: Rate<()>,
}

impl Default for Registrations {
    fn default() -> Self {
        Self { of_address: Rate::new(Some(GUESSES)), of_all: Rate::new(Some(REGISTRATIONS_IN_ALL)) }
    }
}

impl Registrations {
    /// Pays for one.
    pub fn pay(&self, address: IpAddr, now: Millis) -> Result<(), BudgetSpent> {
        // The address first: who is over their own bound takes nothing from everybody's.
        self.of_address.spend(address, now)?;
        self.of_all.spend((), now).inspect_err(|_| self.of_address.give_back(address, 1))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use super::*;

    #[test]
    fn registrations_are_bounded_per_address_and_in_all() {
        let registrations = Registrations::default();
        let address = |last: u32| IpAddr::from([192, 0, 2, u8::try_from(last).unwrap()]);
        for number in 0..REGISTRATIONS_IN_ALL.count {
            assert_eq!(registrations.pay(address(number / GUESSES.count), 0), Ok(()));
        }
        assert!(registrations.pay(address(0), 0).is_err());
        assert!(registrations.pay(address(200), 0).is_err());
        assert_eq!(registrations.pay(address(200), GUESSES.per), Ok(()));
        let greedy = Registrations::default();
        for _ in 0..REGISTRATIONS_IN_ALL.count * 2 {
            let _ = greedy.pay(address(1), 0);
        }
        assert_eq!(greedy.pay(address(2), 0), Ok(()), "one address cannot use up what is everybody's");
    }

    #[test]
    fn guessing_a_secret_locks_out_nobody_else() {
        let limits = Limits::new(&Quotas::default());
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        for _ in 0..GUESSES.count {
            assert_eq!(limits.client_secrets.allow((7, one), 0), Ok(()));
            limits.client_secrets.missed((7, one), 0);
        }
        assert_eq!(limits.client_secrets.allow((7, one), 0), Err(BudgetSpent { retry_after: 30 }));
        assert_eq!(limits.client_secrets.allow((7, other), 0), Ok(()));
        assert_eq!(limits.client_secrets.allow((8, one), 0), Ok(()));
        assert_eq!(limits.client_secrets.allow((7, one), GUESSES.per), Ok(()));
    }

    const BEGIN: &str = "<!-- limits: generated from src/throttle/limits.rs -->\n";
    const END: &str = "<!-- end of limits -->";

    fn table() -> String {
        let mut table =
            String::from("| Limit | Unless set | For each | What it counts |\n|---|---|---|---|\n");
        let mut quotas = Quotas::default();
        for (name, of, about) in Quotas::ABOUT {
            let Quota { count, per } = quotas.named(name).unwrap().unwrap();
            let period = if per == 60_000 { "minute" } else { "hour" };
            assert!([60_000, 3_600_000].contains(&per));
            writeln!(table, "| `{name}` | {count} a {period} | {of} | {about} |").unwrap();
        }
        table
    }

    #[test]
    fn the_documentation_shows_exactly_these_limits() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/limits.md");
        let page = std::fs::read_to_string(&path).unwrap();
        let start = page.find(BEGIN).unwrap() + BEGIN.len();
        let end = page.find(END).unwrap();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, format!("{}{}{}", &page[..start], table(), &page[end..])).unwrap();
            return;
        }
        assert!(
            page[start..end] == table(),
            "docs/limits.md is out of date: run UPDATE_DOCS=1 cargo test --lib throttle::limits"
        );
    }

    #[test]
    fn every_limit_has_a_name_of_its_own() {
        let mut quotas = Quotas::default();
        for (name, _, _) in Quotas::ABOUT {
            *quotas.named(name).unwrap() = None;
        }
        assert_eq!(quotas, Quotas::OFF);
        assert!(quotas.named("nothing").is_none());
    }
}
