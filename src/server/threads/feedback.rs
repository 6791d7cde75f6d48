//! Feedback on the answers of runs, of whoever may write in their thread: one for each run.

use sqlx::AnyConnection;

use super::{admission, lock_thread};
use crate::{
    protocol::{
        ErrorCode, GiveFeedback, Rating, RunFeedback, RunId, ThreadEntry, ThreadId,
        http::{FeedbackCounts, User},
        limits::MAX_FEEDBACK_NOTE_BYTES,
    },
    server::{
        access::Access,
        channel::Channels,
        error::{Error, Result},
        store::row,
    },
    text::normalize_input,
};

row! {
    struct FeedbackRow {
        rating: Option<String>,
        feedback_note: Option<String>,
        ended_at: Option<i64>,
    }
}

/// How a rating is stored.
fn column(rating: Rating) -> &'static str {
    match rating {
        Rating::Good => "good",
        Rating::Bad => "bad",
    }
}

/// Stores feedback on a run that has ended, in place of what was given before. Giving the same again changes nothing.
///
/// # Errors
/// `not_found`; `conflict` if the run has not ended; `invalid_payload` for a note that is too long or has no rating; `quota_exceeded`.
pub async fn give_feedback(channels: &Channels, user: &User, command: &GiveFeedback) -> Result<()> {
    let GiveFeedback { thread_id, run_id, feedback } = command;
    let feedback = RunFeedback { note: normalize_input(feedback.note.trim()), ..feedback.clone() };
    check(&feedback)?;
    let admission = admission(channels, user.id, *thread_id).await?;
    let mut tx = channels.begin().await?;
    lock_thread(&mut tx, user.id, *thread_id, Access::Write).await?;
    let before = read(tx.sql(), *thread_id, *run_id).await?.ok_or_else(|| Error::not_found("run"))?;
    if before.ended_at.is_none() {
        return Err(Error::refused(ErrorCode::Conflict, "the answer has not ended yet"));
    }
    let (rating, note) = (feedback.rating.map(column), Some(feedback.note.as_str()).filter(|note| !note.is_empty()));
    if before.rating.as_deref() == rating && before.feedback_note.as_deref() == note {
        return Ok(());
    }
    admission.admit(feedback.note.len())?;
    let sql = "UPDATE runs SET rating = $2, feedback_note = $3 WHERE id = $1";
    sqlx::query(sql).bind(*run_id).bind(rating).bind(note).execute(tx.sql()).await?;
    tx.append_to_thread(*thread_id, &[ThreadEntry::Feedback { run_id: *run_id, feedback }]).await?;
    tx.commit().await
}

fn check(feedback: &RunFeedback) -> Result<()> {
    let invalid = |why: String| Err(Error::refused(ErrorCode::InvalidPayload, why));
    if feedback.note.len() > MAX_FEEDBACK_NOTE_BYTES {
        return invalid(format!("note: at most {MAX_FEEDBACK_NOTE_BYTES} bytes"));
    }
    if feedback.rating.is_none() && !feedback.note.is_empty() {
        return invalid("rating: a note needs a rating".to_owned());
    }
    Ok(())
}

async fn read(connection: &mut AnyConnection, thread: ThreadId, run: RunId) -> Result<Option<FeedbackRow>> {
    let sql = "SELECT rating, feedback_note, ended_at FROM runs WHERE id = $1 AND thread_id = $2";
    Ok(sqlx::query_as(sql).bind(run).bind(thread).fetch_optional(connection).await?)
}

/// How many answers of an agent were rated, over all users.
///
/// # Errors
/// If the store fails.
pub async fn feedback_counts(channels: &Channels, agent: &str) -> Result<FeedbackCounts> {
    row! { struct Count { rating: String, answers: i64 } }
    let sql = "SELECT rating, COUNT(*) AS answers FROM runs WHERE agent = $1 AND rating IS NOT NULL GROUP BY rating";
    let rows: Vec<Count> = sqlx::query_as(sql).bind(agent).fetch_all(channels.store().reader()).await?;
    let of = |rating| rows.iter().find(|row| row.rating == column(rating)).map_or(0, |row| row.answers.cast_unsigned());
    Ok(FeedbackCounts { good: of(Rating::Good), bad: of(Rating::Bad) })
}
