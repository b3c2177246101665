//! What letters say. Every header is built by `lettre` from typed values, so nothing that somebody chose can end one.

use std::time::{Duration, UNIX_EPOCH};

use askama::Template;
use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::invitations::Invitation;
use lettre::Message;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use thiserror::Error;

use super::Letter;
use crate::pages::tame;
use crate::state::rfc3339;

/// Characters of a name that somebody chose: enough to be known by, too few to be a message of its own.
const NAME_LENGTH: usize = 80;

/// Why a letter was not written.
#[derive(Debug, Error)]
pub enum LetterError {
    /// The address is none that mail can be sent to.
    #[error("not an address for mail")]
    Address(#[from] lettre::address::AddressError),
    /// The text does not render.
    #[error("does not render")]
    Text(#[from] askama::Error),
    /// The parts make no message.
    #[error("makes no message")]
    Message(#[from] lettre::error::Error),
}

#[derive(Template)]
#[template(path = "invitation.txt")]
struct PlainText<'a> {
    letter: &'a Words,
}

#[derive(Template)]
#[template(path = "invitation_mail.html")]
struct Html<'a> {
    letter: &'a Words,
}

struct Words {
    organization: String,
    role: &'static str,
    inviter: String,
    email: String,
    accept_url: String,
    expires: String,
}

/// The letter that brings an invitation's link.
pub fn invitation(
    from: &Mailbox,
    invitation: &Invitation,
    accept_url: &str,
    now: Millis,
) -> Result<Letter, LetterError> {
    let words = Words {
        organization: tame(&invitation.org_name, NAME_LENGTH),
        role: invitation.role.as_str(),
        inviter: tame(invitation.inviter_email.as_deref().unwrap_or("An administrator"), NAME_LENGTH),
        email: invitation.email.clone(),
        accept_url: accept_url.to_owned(),
        expires: rfc3339(invitation.expires_at).replace('T', " ").chars().take(16).collect(),
    };
    let domain = from.email.domain();
    let millis = Duration::from_millis(u64::try_from(now).unwrap_or_default());
    let message = Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, invitation.email.parse()?))
        .subject(format!("Invitation to {}", words.organization))
        .date(UNIX_EPOCH + millis)
        .message_id(Some(format!("<{}@{domain}>", invitation.public_id)))
        // RFC 3834, section 5: no automatic replies, please.
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ))
        .multipart(MultiPart::alternative_plain_html(
            PlainText { letter: &words }.render()?,
            Html { letter: &words }.render()?,
        ))?;
    Ok(Letter { about: invitation.public_id.clone(), message })
}

#[cfg(test)]
mod tests {
    use gatehouse_actors::data::memberships::Role;

    use super::*;

    fn letter(org_name: &str, email: &str) -> Result<String, LetterError> {
        let about = Invitation {
            id: 1,
            public_id: "01900000-0000-7000-8000-000000000009".to_owned(),
            email: email.to_owned(),
            role: Role::Admin,
            status: "pending".to_owned(),
            expires_at: 1_767_225_600_000,
            created_at: 0,
            org_id: 2,
            org_public_id: String::new(),
            org_slug: "acme".to_owned(),
            org_name: org_name.to_owned(),
            org_status: "active".to_owned(),
            inviter_id: 1,
            inviter_public_id: String::new(),
            inviter_email: Some("ada@example.test".to_owned()),
        };
        let from = "Sign-in <no-reply@example.test>".parse().unwrap();
        let letter = invitation(&from, &about, "https://login.test/invitations/accept?token=T", 0)?;
        Ok(String::from_utf8(letter.message.formatted()).unwrap())
    }

    fn headers(message: &str) -> &str {
        message.split_once("\r\n\r\n").unwrap().0
    }

    #[test]
    fn both_parts_hold_the_link() {
        let message = letter("Acme", "bob@example.test").unwrap();
        assert!(message.contains("Content-Type: text/plain") && message.contains("Content-Type: text/html"));
        // In quoted-printable the equals sign is =3D.
        let plain = message.replace("=\r\n", "").replace("=3D", "=");
        assert_eq!(plain.matches("https://login.test/invitations/accept?token=T").count(), 3);
        assert!(plain.contains("2026-01-01 00:00"));
    }

    #[test]
    fn no_name_adds_a_header_or_markup() {
        let hostile = "Acme\r\nBcc: evil@example.test\r\n\r\n<script>alert(1)</script>\u{202e}";
        let message = letter(hostile, "bob@example.test").unwrap();
        assert!(
            !headers(&message).lines().any(|line| line.to_ascii_lowercase().starts_with("bcc")),
            "{message}"
        );
        assert_eq!(headers(&message).matches("Subject:").count(), 1);
        let html = message.split("text/html").nth(1).unwrap();
        assert!(!html.contains("<script>"));
    }

    #[test]
    fn a_subject_outside_ascii_is_encoded() {
        let message = letter("Société Générale 株式会社", "bob@example.test").unwrap();
        assert!(headers(&message).is_ascii());
        assert!(headers(&message).contains("=?utf-8?"), "{}", headers(&message));
    }
}
