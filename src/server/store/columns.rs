//! Rust types as columns: ids are stored as text, and rows are read by the names of their columns.

use crate::protocol::{FileId, MessageId, PromptId, RunId, ShareId, TagId, ThreadId, UserId};

/// Makes types that are written with `Display` and read with `FromStr` the types of text columns.
macro_rules! text_columns {
    ($($type:ty),* $(,)?) => {$(
        impl sqlx::Type<sqlx::Any> for $type {
            fn type_info() -> sqlx::any::AnyTypeInfo {
                <str as sqlx::Type<sqlx::Any>>::type_info()
            }
        }

        impl sqlx::Encode<'_, sqlx::Any> for $type {
            fn encode_by_ref(
                &self,
                arguments: &mut <sqlx::Any as sqlx::Database>::ArgumentBuffer,
            ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
                sqlx::Encode::<sqlx::Any>::encode(self.to_string(), arguments)
            }
        }

        impl<'r> sqlx::Decode<'r, sqlx::Any> for $type {
            fn decode(value: <sqlx::Any as sqlx::Database>::ValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
                Ok(<&str as sqlx::Decode<sqlx::Any>>::decode(value)?.parse()?)
            }
        }
    )*};
}
pub(crate) use text_columns;

text_columns!(FileId, MessageId, PromptId, RunId, ShareId, TagId, ThreadId, UserId);

/// Declares a struct whose fields are columns of the same names, and implements `sqlx::FromRow` for it. It stands in for sqlx's
/// derive macro, for the reason given in `migrations.rs`.
macro_rules! row {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $type:ty),* $(,)? }) => {
        $(#[$meta])*
        $vis struct $name {
            $($(#[$field_meta])* $field_vis $field: $type),*
        }

        impl<'r> sqlx::FromRow<'r, sqlx::any::AnyRow> for $name {
            fn from_row(row: &'r sqlx::any::AnyRow) -> sqlx::Result<Self> {
                Ok(Self { $($field: sqlx::Row::try_get(row, stringify!($field))?),* })
            }
        }
    };
}
pub(crate) use row;
