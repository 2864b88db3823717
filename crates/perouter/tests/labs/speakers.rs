//! The speakers that real nodes run, with the session parameters that the products give them (reference 5).
