//! What comes next: the front door.
//!
//! A flow is told facts and says verbs, in the call's words. It knows no SIP message and no sample.
