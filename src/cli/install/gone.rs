//! Taking objects away: said before, asked about, and waited for.

use clap::Args;
use kube::{Client, api::DeleteParams};

use super::{
    object::Id,
    progress::{BETWEEN, Progress},
};
use crate::cli::{
    exit::{Exit, Failure},
    report::counted,
    terminal::Streams,
};

/// Whether something may be taken away.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Confirmation {
    /// Don't ask
    #[arg(short, long, visible_alias = "skip-confirmation")]
    yes: bool,
    /// Only tell what would go
    #[arg(long)]
    dry_run: bool,
}

// === impl Confirmation ===

impl Confirmation {
    /// Tells what goes, and whether it may. Who can answer is asked, unless the answer was given beforehand.
    ///
    /// # Errors
    /// When nothing can be written.
    pub(super) fn given(self, ids: &[Id], streams: &mut Streams<'_>, interactive: bool) -> Result<bool, Failure> {
        let list: String = ids.iter().map(|id| format!("  {id}\n")).collect();
        if self.dry_run {
            streams.answered(&format!("would go:\n{list}"))?;
            return Ok(false);
        }
        streams.note(&format!("{} will go:\n{}", counted(ids.len(), "object"), list.trim_end()));
        if self.yes || !interactive {
            return Ok(true);
        }
        let agreed = streams.agreed("Remove them?").map_err(|error| Failure::new(Exit::Failed, error))?;
        if !agreed {
            streams.note("nothing was removed");
        }
        Ok(agreed)
    }
}

/// Deletes objects, one after the other; one that is gone already is no failure.
///
/// # Errors
/// When one can't be deleted; those behind it have not been tried.
pub(super) async fn delete(client: &Client, ids: &[Id], params: &DeleteParams, progress: &mut Progress<'_, '_>) -> Result<(), Failure> {
    for id in ids {
        match id.api(client).delete(&id.name, params).await {
            Ok(_) => progress.tell(&format!("{id} removed")),
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(Failure::cluster(format_args!("delete {id}"), &error)),
        }
    }
    Ok(())
}

/// Waits until none of the objects is there.
///
/// # Errors
/// When that takes too long, or can't be told.
pub(super) async fn until_gone(client: &Client, ids: &[Id], progress: &mut Progress<'_, '_>) -> Result<(), Failure> {
    let mut left = ids.to_vec();
    loop {
        let mut there = Vec::new();
        for id in left {
            if id.read(client).await?.is_some() {
                there.push(id);
            }
        }
        left = there;
        let Some(first) = left.first() else { return Ok(()) };
        let more = if left.len() > 1 { format!(" and {} more", left.len() - 1) } else { String::new() };
        progress.waiting(&format!("{first}{more} to go"))?;
        tokio::time::sleep(BETWEEN).await;
    }
}
