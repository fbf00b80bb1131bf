//! Takes a release apart and looks at what is inside.
