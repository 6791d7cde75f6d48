//! The prompt library in the store: saving, deleting, finding and reading prompts.

use crate::{
    protocol::{
        DeletePrompt, ErrorCode, Person, Prompt, PromptId, PromptInfo, PromptList, SavePrompt, UserId,
        http::{Role, User},
        limits::{MAX_PROMPT_BYTES, MAX_PROMPT_NAME_CHARS, MAX_PROMPTS},
    },
    server::{
        channel::Channels,
        clock::now_ms,
        error::{Error, Result},
        one_line::one_line,
        quotas::lock_user,
        store::{LIKE_ESCAPE, Store, containing, row},
    },
};

/// How many characters of a text are in lists.
const EXCERPT_CHARS: usize = 200;

/// Why a prompt is not saved under an id.
const OTHERS_ID: &str = "this id belongs to another prompt";

row! {
    /// The columns that [`columns`] selects.
    struct StoredPrompt {
        id: PromptId,
        name: String,
        text: String,
        shared: i64,
        updated_at: i64,
        owner: UserId,
        owner_name: String,
    }
}

/// The columns, of which `text` is whole or its beginning.
fn columns(text: &str) -> String {
    format!(
        "p.id, p.name, {text} AS text, p.shared, p.updated_at, p.owner, u.name AS owner_name \
         FROM prompts p JOIN users u ON u.id = p.owner"
    )
}

impl StoredPrompt {
    fn info(&self, user: UserId) -> PromptInfo {
        let owner = (self.owner != user).then(|| Person { id: self.owner, name: self.owner_name.clone() });
        PromptInfo {
            id: self.id,
            name: self.name.clone(),
            excerpt: self.text.chars().take(EXCERPT_CHARS).collect(),
            shared: self.shared != 0,
            owner,
            updated_at: self.updated_at,
        }
    }
}

/// Creates a prompt of a user, or replaces it.
///
/// # Errors
/// `invalid_payload` for a bad name or text; `conflict` if another prompt of the user has the name, or if the id is in use;
/// `quota_exceeded` if the user has [`MAX_PROMPTS`].
pub async fn save(channels: &Channels, user: &User, command: &SavePrompt) -> Result<()> {
    let name = one_line(&command.name, "a prompt's name", MAX_PROMPT_NAME_CHARS)?;
    check_text(&command.text)?;
    let (id, key, shared) = (command.prompt_id, name.to_lowercase(), i64::from(command.shared));
    let mut tx = channels.begin().await?;
    let engine = tx.engine();
    lock_user(engine, tx.sql(), user.id).await?;
    let query = sqlx::query_scalar::<_, UserId>("SELECT owner FROM prompts WHERE id = $1").bind(id);
    let owner = query.fetch_optional(tx.sql()).await?;
    if owner.is_some_and(|owner| owner != user.id) {
        return Err(Error::refused(ErrorCode::Conflict, OTHERS_ID));
    }
    let sql = "SELECT id FROM prompts WHERE owner = $1 AND name_key = $2";
    let same_name = sqlx::query_scalar::<_, PromptId>(sql).bind(user.id).bind(&key).fetch_optional(tx.sql()).await?;
    if same_name.is_some_and(|other| other != id) {
        let message = format!("you have a prompt `{name}` already; choose another name");
        return Err(Error::refused(ErrorCode::Conflict, message));
    }
    let count = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM prompts WHERE owner = $1").bind(user.id);
    if owner.is_none() && count.fetch_one(tx.sql()).await? >= i64::try_from(MAX_PROMPTS).unwrap_or(i64::MAX) {
        let message = format!("you have {MAX_PROMPTS} prompts, as many as one user has; delete some first");
        return Err(Error::refused(ErrorCode::QuotaExceeded, message));
    }
    let sql = "INSERT INTO prompts (id, owner, name, name_key, text, shared, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7) \
               ON CONFLICT (id) DO UPDATE SET name = excluded.name, name_key = excluded.name_key, text = excluded.text, \
               shared = excluded.shared, updated_at = excluded.updated_at WHERE prompts.owner = excluded.owner";
    let query = sqlx::query(sql).bind(id).bind(user.id).bind(&name).bind(&key).bind(&command.text);
    let saved = query.bind(shared).bind(now_ms()).execute(tx.sql()).await?;
    if saved.rows_affected() == 0 {
        // Another user has just created one with this id.
        return Err(Error::refused(ErrorCode::Conflict, OTHERS_ID));
    }
    tx.commit().await
}

/// Deletes a prompt of a user; for an administrator, any that is shared.
///
/// # Errors
/// `forbidden` for a shared prompt of another user; `not_found` for one that the user cannot see.
pub async fn delete(channels: &Channels, user: &User, command: &DeletePrompt) -> Result<()> {
    let mut tx = channels.begin().await?;
    row! { struct Row { owner: UserId, shared: i64 } }
    let sql = format!("SELECT owner, shared FROM prompts WHERE id = $1{}", tx.engine().for_update());
    let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(command.prompt_id);
    let found: Option<Row> = query.fetch_optional(tx.sql()).await?;
    match found {
        None => return Ok(()),
        Some(prompt) if prompt.owner == user.id => {}
        Some(prompt) if prompt.shared == 0 => return Err(Error::not_found("prompt")),
        Some(_) if user.role == Role::Admin => {}
        Some(_) => {
            let message = "only the user who wrote it and administrators can delete this prompt";
            return Err(Error::refused(ErrorCode::Forbidden, message));
        }
    }
    sqlx::query("DELETE FROM prompts WHERE id = $1").bind(command.prompt_id).execute(tx.sql()).await?;
    tx.commit().await
}

/// At most `limit` prompts that a user may use, whose name contains a text in whatever case: the user's own, then those of others.
///
/// # Errors
/// If the store fails.
pub async fn find(store: &Store, user: UserId, text: &str, limit: usize) -> Result<PromptList> {
    // At most one limit's worth of each, found by its own index.
    let columns = columns(&format!("SUBSTR(p.text, 1, {EXCERPT_CHARS})"));
    let own = format!(
        "SELECT {columns} WHERE p.owner = $1 AND p.name_key LIKE $2 {LIKE_ESCAPE} ORDER BY p.name_key LIMIT $3"
    );
    let others = format!(
        "SELECT {columns} WHERE p.shared = 1 AND p.owner <> $1 AND p.name_key LIKE $2 {LIKE_ESCAPE} ORDER BY p.name_key, p.id LIMIT $3"
    );
    let pattern = containing(&text.trim().to_lowercase());
    let most = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let mut prompts = Vec::new();
    for sql in [own, others] {
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(user).bind(&pattern).bind(most);
        let rows: Vec<StoredPrompt> = query.fetch_all(store.reader()).await?;
        prompts.extend(rows.iter().map(|row| row.info(user)));
    }
    let more = prompts.len() > limit;
    prompts.truncate(limit);
    Ok(PromptList { prompts, more })
}

/// A prompt that a user may use.
///
/// # Errors
/// `not_found`.
pub async fn read(store: &Store, user: UserId, id: PromptId) -> Result<Prompt> {
    let sql = format!("SELECT {} WHERE p.id = $1 AND (p.owner = $2 OR p.shared = 1)", columns("p.text"));
    let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id).bind(user);
    let row: Option<StoredPrompt> = query.fetch_optional(store.reader()).await?;
    let row = row.ok_or_else(|| Error::not_found("prompt"))?;
    Ok(Prompt { info: row.info(user), text: row.text })
}

fn check_text(text: &str) -> Result<()> {
    if text.trim().is_empty() || text.len() > MAX_PROMPT_BYTES || text.contains('\0') {
        let message = format!("a prompt has a text of at most {MAX_PROMPT_BYTES} bytes, without null characters");
        return Err(Error::refused(ErrorCode::InvalidPayload, message));
    }
    Ok(())
}
