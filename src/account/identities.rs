//! The accounts at providers that sign a user in.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use gatehouse_actors::data::identities::{IdentitiesOf, UnlinkIdentity, UnlinkRefusal};
use serde_json::{Value, json};

use crate::error::{Code, Error};
use crate::http::caller::{Call, SignedIn};
use crate::http::management::audit_context;
use crate::http::{connection, linking};
use crate::state::{App, rfc3339};

type Answer = Result<HttpResponse, Error>;

/// `GET /api/user/identities`
pub async fn list(app: Data<App>, call: Call<SignedIn>) -> Answer {
    let identities = app.store.read(IdentitiesOf { user_id: call.caller.subject.user_id }).await?;
    let body = |identity: gatehouse_actors::data::identities::LinkedIdentity| -> Value {
        json!({
            "provider": identity.provider,
            "issuer": identity.issuer,
            "email": identity.email,
            "created_at": rfc3339(identity.created_at),
        })
    };
    Ok(HttpResponse::Ok().json(identities.into_iter().map(body).collect::<Vec<_>>()))
}

/// `POST /api/user/identities/{provider}/link`. Writes nothing: the browser that opens the address decides.
pub async fn link(app: Data<App>, provider: Path<String>, call: Call<SignedIn>) -> Answer {
    let subject = call.caller.subject;
    connection::find(&app, subject.org_id, &provider).await?;
    let (authorization_url, expires_at) = linking::begin(&app, &subject.session_public_id, &provider)?;
    Ok(HttpResponse::Ok()
        .json(json!({ "authorization_url": authorization_url, "expires_at": rfc3339(expires_at) })))
}

/// `DELETE /api/user/identities/{provider}`
pub async fn unlink(
    app: Data<App>,
    request: HttpRequest,
    provider: Path<String>,
    call: Call<SignedIn>,
) -> Answer {
    let subject = call.caller.subject;
    let unlink = UnlinkIdentity {
        org_id: subject.org_id,
        user_id: subject.user_id,
        audit: audit_context(&app, &request, Some(&subject)),
        user_public_id: subject.user_public_id.clone(),
        provider: provider.into_inner(),
    };
    app.store.write(unlink).await.map_err(|error| {
        Error::from_op(error, |refusal| match refusal {
            UnlinkRefusal::Unknown => {
                Error::new(Code::NotFound, "Your account is not linked to this provider.")
            }
            UnlinkRefusal::LastOne => Error::bad_request(
                "This is the only way to sign in to your account. Link another provider first.",
            ),
        })
    })?;
    Ok(HttpResponse::NoContent().finish())
}
