//! What to do with an authorization request, given the session that the browser already has. Pure.

use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::browser_sessions::BrowserSession;

use super::request::Asked;
use crate::error::Error;
use crate::http::email;
use crate::upstream::Effort;

/// How a request goes on.
#[derive(Debug)]
pub(super) enum Step {
    /// The session that the browser has will do: single sign-on.
    Continue,
    /// The person must go to a provider, which is asked for this much.
    SignIn(Effort),
    /// The app did not allow that anything is shown, and something would have to be.
    Refuse(Error),
}

/// Why the session that the browser has will not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Misfit {
    None,
    TooOld,
    OtherUser,
    OtherAccount,
    OtherProvider,
}

/// What the rules must know of a session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    user: &'a str,
    email: Option<&'a str>,
    provider: &'a str,
    authenticated_at: Millis,
}

impl<'a> From<&'a BrowserSession> for Known<'a> {
    fn from(session: &'a BrowserSession) -> Self {
        Self {
            user: &session.user_public_id,
            email: session.email.as_deref(),
            provider: &session.provider,
            authenticated_at: session.authenticated_at,
        }
    }
}

/// Decides. `provider` is the one that the app named, if there is such a one here.
pub(super) fn next_step(
    asked: &Asked,
    session: Option<Known<'_>>,
    provider: Option<&str>,
    now: Millis,
) -> Step {
    let misfit = match session {
        None => Some(Misfit::None),
        Some(session) => misfit(asked, session, provider, now),
    };
    match misfit {
        Some(misfit) if asked.silent => Step::Refuse(misfit.error()),
        None if asked.silent || !asked.select_account => Step::Continue,
        // Or the provider would send the same person back at once.
        Some(Misfit::OtherUser) if asked.effort() == Effort::Any => Step::SignIn(Effort::ChooseAccount),
        _ => Step::SignIn(asked.effort()),
    }
}

fn misfit(asked: &Asked, session: Known<'_>, provider: Option<&str>, now: Millis) -> Option<Misfit> {
    let age = now - session.authenticated_at;
    // "Greater than max_age" (OpenID Connect Core, section 3.1.2.1); 0 asks for a new authentication in any case.
    if asked.web.max_age.is_some_and(|max_age| max_age == 0 || age > max_age * 1000) {
        return Some(Misfit::TooOld);
    }
    if asked.web.expected_user.as_deref().is_some_and(|user| user != session.user) {
        return Some(Misfit::OtherUser);
    }
    // Only an address says for sure that another account is meant; a hint may be any text.
    let hinted = asked.login_hint.as_deref().and_then(email::normalize);
    if let (Some(hinted), Some(own)) = (hinted, session.email)
        && hinted != own
    {
        return Some(Misfit::OtherAccount);
    }
    provider.is_some_and(|provider| provider != session.provider).then_some(Misfit::OtherProvider)
}

impl Misfit {
    /// OpenID Connect Core, section 3.1.2.6.
    fn error(self) -> Error {
        let (code, message) = match self {
            Self::None => ("login_required", "Nobody is signed in here, and signing in needs the person."),
            Self::TooOld => ("login_required", "The person must sign in again."),
            Self::OtherUser => {
                ("login_required", "Another person is signed in than the id_token_hint names.")
            }
            Self::OtherAccount => {
                ("account_selection_required", "Another account is signed in than the login_hint names.")
            }
            Self::OtherProvider => {
                ("interaction_required", "The person signed in at another provider than the idp_hint names.")
            }
        };
        Error::bad_request(message).oauth(code)
    }
}

impl Asked {
    /// What the provider is to ask of the person, as the app wants it.
    pub(super) fn effort(&self) -> Effort {
        match self.web.max_age {
            Some(0) => Effort::Within(0),
            _ if self.select_account => Effort::ChooseAccount,
            Some(seconds) => Effort::Within(seconds),
            None => Effort::Any,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::state::{Destination, ResponseMode, WebRequest};
    use gatehouse_actors::data::token_binding::TokenBinding;

    use super::*;

    const NOW: Millis = 1_800_000_000_000;
    const ADA: Known<'_> =
        Known { user: "ada", email: Some("ada@x.test"), provider: "google", authenticated_at: NOW - 60_000 };

    fn asked() -> Asked {
        Asked {
            web: WebRequest {
                destination: Destination {
                    redirect_uri: String::new(),
                    registered_uri: String::new(),
                    state: None,
                    mode: ResponseMode::Query,
                },
                code_challenge: None,
                scope: "openid".to_owned(),
                binding: TokenBinding::default(),
                nonce: None,
                max_age: None,
                expected_user: None,
                ask_consent: false,
            },
            silent: false,
            select_account: false,
            login_hint: None,
            idp_hint: None,
        }
    }

    fn says(asked: &Asked, provider: Option<&str>) -> String {
        match next_step(asked, Some(ADA), provider, NOW) {
            Step::Continue => "continue".to_owned(),
            Step::SignIn(effort) => format!("{effort:?}"),
            Step::Refuse(error) => error.oauth_code().to_owned(),
        }
    }

    type Change = fn(&mut Asked);

    #[test]
    fn every_wish_has_its_answer_aloud_and_in_silence() {
        let rows: [(Change, Option<&str>, &str, &str); 11] = [
            (|_| (), None, "continue", "continue"),
            (|_| (), Some("google"), "continue", "continue"),
            (|_| (), Some("github"), "Any", "interaction_required"),
            (|asked| asked.web.max_age = Some(0), None, "Within(0)", "login_required"),
            (|asked| asked.web.max_age = Some(59), None, "Within(59)", "login_required"),
            (|asked| asked.web.max_age = Some(60), None, "continue", "continue"),
            (|asked| asked.web.expected_user = Some("ada".to_owned()), None, "continue", "continue"),
            (
                |asked| asked.web.expected_user = Some("bob".to_owned()),
                None,
                "ChooseAccount",
                "login_required",
            ),
            (|asked| asked.login_hint = Some("ADA@x.test".to_owned()), None, "continue", "continue"),
            (
                |asked| asked.login_hint = Some("bob@x.test".to_owned()),
                None,
                "Any",
                "account_selection_required",
            ),
            (|asked| asked.login_hint = Some("+49 30 1234".to_owned()), None, "continue", "continue"),
        ];
        for (change, provider, aloud, silent) in rows {
            let mut wish = asked();
            change(&mut wish);
            assert_eq!(says(&wish, provider), aloud, "{wish:?}");
            wish.silent = true;
            assert_eq!(says(&wish, provider), silent, "{wish:?}");
        }
    }

    #[test]
    fn to_choose_an_account_one_goes_to_the_provider() {
        let wish = Asked { select_account: true, ..asked() };
        assert_eq!(says(&wish, None), "ChooseAccount");
    }

    #[test]
    fn without_a_session_silence_is_refused() {
        let mut wish = asked();
        assert!(matches!(next_step(&wish, None, None, NOW), Step::SignIn(Effort::Any)));
        wish.silent = true;
        let Step::Refuse(error) = next_step(&wish, None, None, NOW) else { panic!("not refused") };
        assert_eq!(error.oauth_code(), "login_required");
    }

    proptest! {
        #[test]
        fn silence_never_leads_to_a_provider_and_age_never_passes(
            silent: bool, select_account: bool, max_age in proptest::option::of(0_i64..200), age in 0_i64..200_000,
        ) {
            let mut wish = asked();
            (wish.silent, wish.select_account, wish.web.max_age) = (silent, select_account, max_age);
            let session = Known { authenticated_at: NOW - age, ..ADA };
            let step = next_step(&wish, Some(session), None, NOW);
            if silent {
                prop_assert!(!matches!(step, Step::SignIn(_)));
            } else {
                prop_assert!(!matches!(step, Step::Refuse(_)));
            }
            if max_age.is_some_and(|max_age| max_age == 0 || age > max_age * 1000) {
                prop_assert!(!matches!(step, Step::Continue));
            }
        }
    }
}
