//! Words with a normal form, amounts of money, and events of Stripe.

use gatehouse_actors::data::looks_like_public_id;
use gatehouse_actors::money::{MAX_AMOUNT, to_decimal, to_minor_units};
use gatehouse_actors::stripe::event::{Event, Subject};

use super::{lines, text};
use crate::crypto::token::{USER_CODE_LENGTH, display_user_code, normalize_user_code};
use crate::http::{email, scope, slug};

/// One text as a user code, an e-mail address, a slug and a scope.
pub(super) fn words(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Some(code) = normalize_user_code(text) {
        assert_eq!(code.len(), USER_CODE_LENGTH);
        for again in [code.clone(), display_user_code(&code), code.to_lowercase()] {
            assert_eq!(normalize_user_code(&again).as_ref(), Some(&code));
        }
    }
    if let Some(address) = email::normalize(text) {
        assert_eq!(email::normalize(&address).as_ref(), Some(&address));
        assert!(
            address.is_ascii() && address.matches('@').count() == 1 && address.eq_ignore_ascii_case(text)
        );
    }
    if slug::problem(text).is_none() {
        assert!(!looks_like_public_id(text) && text.to_lowercase() == text);
        // A slug is a segment of a path as it is.
        let url = url::Url::parse("https://id.test/").unwrap().join(text).unwrap();
        assert_eq!(url.path(), format!("/{text}"));
    }
    if let Ok(granted) = scope::parse(Some(text)) {
        assert_eq!(scope::parse(Some(&granted)).as_ref().ok(), Some(&granted));
        assert_eq!(scope::normalize(&granted), granted);
        let words: Vec<&str> = granted.split(' ').filter(|word| !word.is_empty()).collect();
        assert!(words.len() <= scope::SUPPORTED.len() && words.iter().all(|word| scope::has(text, word)));
    }
    let normal = scope::normalize(text);
    assert_eq!(scope::normalize(&normal), normal);
}

/// An amount and its currency.
pub(super) fn money(data: &[u8]) {
    let Some([decimal, currency]) = lines::<2>(data) else { return };
    if let Some(amount) = to_minor_units(decimal, currency) {
        assert!((0..=MAX_AMOUNT).contains(&amount));
        assert_eq!(to_minor_units(&to_decimal(amount, currency), currency), Some(amount));
    }
}

/// The body of an event.
pub(super) fn stripe_event(data: &[u8]) {
    let Ok(event) = Event::parse(data) else { return };
    assert!(!event.id.is_empty() && event.id.is_ascii());
    assert!(!event.queue_key().is_empty(), "an event waits for nobody");
    match &event.subject {
        Subject::Subscription { subscription, .. } => {
            let items = subscription.items();
            assert!(items.is_sorted());
            assert!(items.is_empty() || subscription.period_end().is_some() || items[0].period_end.is_none());
            let _ = (subscription.cancels_at(), subscription.created_at());
        }
        Subject::Invoice { invoice, .. } => {
            let _ = (invoice.subscription(), invoice.period_end());
        }
        Subject::Session(_) | Subject::Other | Subject::Unreadable => {}
    }
}
