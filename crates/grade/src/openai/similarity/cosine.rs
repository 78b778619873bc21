//! The cosine of the angle between two texts' embeddings.

use super::{Fault, Services};
use crate::openai::ModelError;

/// Returns the cosine of two texts; 0 for what points away from each other.
pub(super) async fn score(
    input: &str,
    reference: &str,
    services: &Services<'_>,
) -> Result<f64, Fault> {
    let texts = [input, reference];
    let vectors = match services.model {
        Some(model) => model.embed(&texts).await,
        None => Err(ModelError::Absent),
    };
    let vectors = vectors.map_err(|error| Fault::ModelServer(error.to_string()))?;
    let cosine = match vectors.as_slice() {
        [a, b] => between(a, b),
        _ => None,
    };
    cosine.ok_or_else(|| Fault::ModelServer("the embeddings cannot be compared".into()))
}

/// Returns the cosine of two vectors of the same length that are not null.
fn between(a: &[f32], b: &[f32]) -> Option<f64> {
    if a.len() != b.len() {
        return None;
    }
    let product = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
        products.sum()
    };
    let cosine = product(a, b) / (product(a, a) * product(b, b)).sqrt();
    cosine.is_finite().then(|| cosine.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_that_cannot_be_compared_have_no_cosine() {
        assert_eq!(between(&[1.0, 0.0], &[2.0, 0.0]), Some(1.0));
        assert_eq!(between(&[1.0, 0.0], &[0.0, 3.0]), Some(0.0));
        assert_eq!(between(&[1.0, 0.0], &[-1.0, 0.0]), Some(0.0));
        assert_eq!(between(&[0.0, 0.0], &[1.0, 0.0]), None);
        assert_eq!(between(&[1.0], &[1.0, 0.0]), None);
        assert_eq!(between(&[], &[]), None);
    }
}
