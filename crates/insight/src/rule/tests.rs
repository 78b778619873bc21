//! What rules mean, shown on traces that are written down by hand.
