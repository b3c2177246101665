//! Every operation, every refusal, every constraint.
