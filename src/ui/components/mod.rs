//! The parts that pages are made of.

pub(crate) mod chart;
pub(crate) mod clock;
pub(crate) mod composer;
pub(crate) mod consent;
pub(crate) mod draft;
pub(crate) mod fold;
pub(crate) mod icons;
pub(crate) mod indicator;
pub(crate) mod json;
pub(crate) mod markdown;
pub(crate) mod mention;
pub(crate) mod menu;
pub(crate) mod notices;
pub(crate) mod parcel;
pub(crate) mod question;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod scroll;
pub(crate) mod sidebar;
pub(crate) mod table;
pub(crate) mod theme;
pub(crate) mod timeline;
pub(crate) mod tool;
pub(crate) mod tree;
pub(crate) mod verdict;
pub(crate) mod workspace;
