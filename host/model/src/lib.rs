//! What a model is and what it answers.
