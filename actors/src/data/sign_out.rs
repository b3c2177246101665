//! Signing out at this server (OpenID Connect RP-Initiated Logout 1.0): the app's session, the browser's, and what came
//! of it.

use super::browser_sessions::{self, BrowserToken};
use super::sessions;
use crate::clock::Millis;
use crate::engine::WriteTx;
use crate::error::OpError;
use crate::message::WriteOp;
use crate::{statements, values};

statements! {
    SESSION_TO_SIGN_OUT = "SELECT id, browser_session_id FROM sessions WHERE public_id = $1";
}

/// Ends what is named, and every app's session that a browser's sign-in led to. Ending an ended one, or one that never
/// was, changes nothing and is no error.
#[derive(Debug, Clone)]
pub struct SignOut {
    /// The `sid` of the app's session, when an `id_token` named it. Its browser is signed out with it.
    pub session_public_id: Option<String>,
    /// What the browser presents, one per realm.
    pub browsers: Vec<BrowserToken>,
    /// The present moment.
    pub now: Millis,
}

impl WriteOp for SignOut {
    type Output = ();
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<()>> {
        if let Some(public_id) = &self.session_public_id {
            let found = tx.optional(SESSION_TO_SIGN_OUT, values![public_id], |row| {
                Ok((row.get::<i64>(0)?, row.get::<Option<i64>>(1)?))
            })?;
            if let Some((id, browser_session_id)) = found {
                sessions::end(tx, id, "logout", self.now)?;
                if let Some(browser_session_id) = browser_session_id {
                    browser_sessions::end(tx, browser_session_id, "logout", self.now)?;
                }
            }
        }
        for token in &self.browsers {
            browser_sessions::end_by_token(tx, token, "logout", self.now)?;
        }
        Ok(())
    }
}
