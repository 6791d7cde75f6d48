//! The macro that declares the events, with the code that they share.

/// Declares the events: `Name = "TYPE" kind { required fields ; optional fields }`. All have the fields of `Base`. Of kind `tagged`,
/// an event may belong to a sub-agent (`subagentRunId`); of kind `run`, it may not. `new` takes the required fields in order.
macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $kind:literal $tagged:ident {
        $($(#[$rdoc:meta])* $req:ident: $rty:ty,)*
        ; $($(#[$odoc:meta])* $opt:ident: $oty:ty,)*
    })*) => {
        /// An event of a run.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(tag = "type")]
        pub enum Event {
            $($(#[$doc])* #[serde(rename = $kind)] $name($name),)*
        }

        impl Event {
            /// Every event's `type`, in the protocol's order.
            pub const TYPES: &'static [&'static str] = &[$($kind),*];

            /// This event's `type` on the wire.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$name(_) => $kind,)* }
            }

            /// The optional fields of events of this type, in snake_case. Empty for an unknown type.
            #[must_use]
            pub fn optional_fields(kind: &str) -> &'static [&'static str] {
                match kind { $($kind => &[$(stringify!($opt)),*],)* _ => &[] }
            }

            /// Whether events of this type may have a `subagentRunId`.
            #[must_use]
            pub fn allows_subagent(kind: &str) -> bool {
                match kind { $($kind => matches!(stringify!($tagged), "tagged"),)* _ => false }
            }

            /// The fields that every event may have.
            #[must_use]
            pub fn base(&self) -> &Base {
                match self { $(Self::$name(event) => &event.base,)* }
            }

            /// The fields that every event may have, mutable.
            pub fn base_mut(&mut self) -> &mut Base {
                match self { $(Self::$name(event) => &mut event.base,)* }
            }

            /// The sub-agent that this event belongs to.
            #[must_use]
            pub fn subagent(&self) -> Option<&str> {
                match self { $(Self::$name(event) => event.owning_subagent().as_deref(),)* }
            }

            /// Sets the sub-agent that this event belongs to; no effect if its type has no such field.
            #[must_use]
            pub fn with_subagent(mut self, subagent_run_id: Option<&str>) -> Self {
                match &mut self { $(Self::$name(event) => event.set_owning_subagent(subagent_run_id),)* }
                self
            }
        }

        $(
            events!(@struct $tagged $(#[$doc])* $name {
                $($(#[$rdoc])* $req: $rty,)*
                ; $($(#[$odoc])* $opt: $oty,)*
            });

            impl From<$name> for Event {
                fn from(event: $name) -> Self {
                    Self::$name(event)
                }
            }
        )*
    };

    (@struct run $(#[$doc:meta])* $name:ident {
        $($(#[$rdoc:meta])* $req:ident: $rty:ty,)* ; $($(#[$odoc:meta])* $opt:ident: $oty:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            $($(#[$rdoc])* pub $req: $rty,)*
            $($(#[$odoc])* #[serde(default, skip_serializing_if = "Option::is_none")] pub $opt: Option<$oty>,)*
            /// The fields that every event may have.
            #[serde(flatten)]
            pub base: Base,
        }

        impl $name {
            /// An event with these required fields.
            #[must_use]
            #[allow(clippy::new_without_default, reason = "an event is never a default, even without required fields")]
            pub fn new($($req: impl Into<$rty>),*) -> Self {
                Self { $($req: $req.into(),)* $($opt: None,)* base: Base::default() }
            }

            #[allow(clippy::unused_self, reason = "events with a sub-agent have the same method")]
            const fn owning_subagent(&self) -> &Option<String> { &None }
            #[allow(clippy::unused_self, reason = "events with a sub-agent have the same method")]
            const fn set_owning_subagent(&mut self, _: Option<&str>) {}
        }
    };

    (@struct tagged $(#[$doc:meta])* $name:ident {
        $($(#[$rdoc:meta])* $req:ident: $rty:ty,)* ; $($(#[$odoc:meta])* $opt:ident: $oty:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            $($(#[$rdoc])* pub $req: $rty,)*
            $($(#[$odoc])* #[serde(default, skip_serializing_if = "Option::is_none")] pub $opt: Option<$oty>,)*
            /// The sub-agent that it belongs to.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub subagent_run_id: Option<String>,
            /// The fields that every event may have.
            #[serde(flatten)]
            pub base: Base,
        }

        impl $name {
            /// An event with these required fields.
            #[must_use]
            #[allow(clippy::new_without_default, reason = "an event is never a default, even without required fields")]
            pub fn new($($req: impl Into<$rty>),*) -> Self {
                Self { $($req: $req.into(),)* $($opt: None,)* subagent_run_id: None, base: Base::default() }
            }

            const fn owning_subagent(&self) -> &Option<String> { &self.subagent_run_id }
            fn set_owning_subagent(&mut self, id: Option<&str>) { self.subagent_run_id = id.map(str::to_owned); }
        }
    };
}

pub(super) use events;
