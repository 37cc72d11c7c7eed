//! Random numbers: their distributions, and that a stream is a function of seed and place.

use tapegrad::array::DType;
use tapegrad::ops::random::{Generator, default_generator, manual_seed};
use tapegrad::tape::Variable;

const N: isize = 200_000;

fn f64s(v: &Variable) -> Vec<f64> {
    match v.dtype() {
        DType::F32 => v.array().to_vec::<f32>().into_iter().map(f64::from).collect(),
        _ => v.array().to_vec(),
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts")]
fn mean(x: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = x.len() as f64;
    x.sum::<f64>() / n
}

/// Pearson's statistic of counts that should be equal, in standard deviations from its mean.
#[allow(clippy::cast_precision_loss, reason = "counts")]
fn unevenness(counts: &[usize]) -> f64 {
    let (n, bins) = (counts.iter().sum::<usize>() as f64, counts.len() as f64);
    let statistic: f64 = counts.iter().map(|&c| (c as f64 - n / bins).powi(2) / (n / bins)).sum();
    (statistic - (bins - 1.0)) / (2.0 * (bins - 1.0)).sqrt()
}

#[test]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "numbers of [0, 1000)")]
fn uniform_numbers_fill_their_interval_evenly() {
    for dtype in [DType::F32, DType::F64] {
        let x = f64s(&Generator::new(1).rand(&[N], Some(dtype)).unwrap());
        assert!(x.iter().all(|u| (0.0..1.0).contains(u)));
        let mut counts = [0; 1000];
        for u in &x {
            counts[(u * 1000.0) as usize] += 1;
        }
        assert!(unevenness(&counts).abs() < 4.0, "{dtype}: {}", unevenness(&counts));
        // Elements that are neighbours, or in neighbouring blocks, are uncorrelated: σ is 1/12/√n.
        for lag in [1, 2, 4, 512] {
            let r = mean(x[lag..].iter().zip(&x).map(|(a, b)| (a - 0.5) * (b - 0.5)));
            assert!(r.abs() < 4.0 / 12.0 / 200_000_f64.sqrt(), "{dtype}, lag {lag}: {r}");
        }
    }
    let x = f64s(&Generator::new(2).uniform(-3.0, 5.0, &[N], Some(DType::F64)).unwrap());
    assert!(x.iter().all(|u| (-3.0..5.0).contains(u)) && (mean(x.iter().copied()) - 1.0).abs() < 0.02);
    // An interval with three numbers in it: the end is never reached.
    let narrow = f64s(&Generator::new(2).uniform(1.0, 1.0 + 3.0 * f64::EPSILON, &[1000], Some(DType::F64)).unwrap());
    assert!(narrow.iter().all(|&u| (1.0..1.0 + 3.0 * f64::EPSILON).contains(&u)));
}

#[test]
fn normal_numbers_have_the_moments_and_the_tails() {
    for dtype in [DType::F32, DType::F64] {
        let x = f64s(&Generator::new(3).randn(&[N], Some(dtype)).unwrap());
        let moment = |k: i32| mean(x.iter().map(|z| z.powi(k)));
        // Four standard deviations of each estimate: E z^2k is 1, 3, 15, 105.
        for (k, want, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0_f64)] {
            assert!((moment(k) - want).abs() < 4.0 * (variance / 200_000.0).sqrt(), "{dtype}: moment {k} is {}", moment(k));
        }
        for (z, tail) in [(1.0, 0.158_655), (2.0, 0.022_750), (3.0, 0.001_350), (-1.5, 0.933_193)] {
            let above = mean(x.iter().map(|&x| f64::from(u8::from(x > z))));
            assert!((above - tail).abs() < 4.0 * (tail * (1.0 - tail) / 200_000.0_f64).sqrt(), "{dtype}: {above} above {z}");
        }
        // The two of a pair share a radius, but are independent.
        let pairs = mean(x.chunks_exact(2).map(|p| p[0] * p[1]));
        let squares = mean(x.chunks_exact(2).map(|p| (p[0] * p[0] - 1.0) * (p[1] * p[1] - 1.0)));
        assert!(pairs.abs() < 4.0 / 100_000_f64.sqrt() && squares.abs() < 8.0 / 100_000_f64.sqrt(), "{dtype}: {pairs}, {squares}");
    }
    let x = f64s(&Generator::new(4).normal(10.0, 0.5, &[N], None).unwrap());
    assert!((mean(x.iter().copied()) - 10.0).abs() < 0.01);
    assert!(f64s(&Generator::new(4).normal(10.0, 0.0, &[3], None).unwrap()).iter().all(|&x| (x - 10.0).abs() < 1e-12));
}

#[test]
fn integers_are_equally_likely() {
    let g = Generator::new(5);
    let mut counts = [0; 7];
    for x in g.randint(-3, 4, &[N], None).unwrap().array().to_vec::<i64>() {
        counts[usize::try_from(x + 3).unwrap()] += 1;
    }
    assert!(unevenness(&counts) < 4.0, "{counts:?}");
    let all = g.randint(i64::MIN, i64::MAX, &[1000], None).unwrap().array().to_vec::<i64>();
    assert!(all.iter().any(|&x| x < i64::MIN / 2) && all.iter().any(|&x| x > i64::MAX / 2));
    assert!(f64s(&g.randint(0, 3, &[100], Some(DType::F32)).unwrap()).iter().all(|x| [0.0, 1.0, 2.0].contains(x)));
    assert!(g.randint(0, 2, &[100], Some(DType::Bool)).unwrap().array().to_vec::<bool>().contains(&true));
    let heads = mean(f64s(&g.bernoulli(0.3, &[N], None).unwrap()).into_iter());
    assert!((heads - 0.3).abs() < 0.005, "{heads}");
    let of = g.bernoulli_of(&g.rand(&[N], Some(DType::F64)).unwrap()).unwrap();
    assert!((mean(f64s(&of).into_iter()) - 0.5).abs() < 0.005);
    assert!(f64s(&g.bernoulli(1.0, &[100], None).unwrap()).iter().all(|x| [1.0].contains(x)));
    assert!(f64s(&g.bernoulli(0.0, &[100], None).unwrap()).iter().all(|x| [0.0].contains(x)));
}

#[test]
fn every_order_is_as_likely() {
    let g = Generator::new(6);
    let mut counts = std::collections::BTreeMap::<Vec<i64>, usize>::new();
    for _ in 0..12_000 {
        *counts.entry(g.permutation(4).unwrap().array().to_vec()).or_default() += 1;
    }
    assert_eq!(counts.len(), 24);
    assert!(unevenness(&counts.into_values().collect::<Vec<_>>()) < 4.0);
    let mut many = g.permutation(10_000).unwrap().array().to_vec::<i64>();
    assert!(many[..20].windows(2).any(|w| w[0] > w[1]));
    many.sort_unstable();
    assert!(many.iter().zip(0..).all(|(&x, i)| x == i));
    assert_eq!(g.permutation(0).unwrap().shape(), [0]);
}

#[test]
fn a_state_brings_the_same_numbers_back() {
    let g = Generator::new(8);
    let first = f64s(&g.randn(&[5], None).unwrap());
    let state = g.state();
    let second = f64s(&g.randn(&[5], None).unwrap());
    assert_ne!(first, second);
    g.set_state(state);
    assert_eq!(f64s(&g.randn(&[5], None).unwrap()), second);
    g.manual_seed(8);
    assert_eq!((f64s(&g.randn(&[5], None).unwrap()), g.seed()), (first.clone(), 8));
    assert_ne!(f64s(&Generator::new(9).randn(&[5], None).unwrap()), first);
    manual_seed(8);
    assert_eq!(f64s(&default_generator().randn(&[5], None).unwrap()), first);
    // What threads draw from one generator never overlaps.
    let shared = Generator::new(10);
    let mut all: Vec<u64> = std::thread::scope(|s| {
        let draw = || shared.rand(&[1000], Some(DType::F64)).unwrap().array().to_vec::<f64>();
        let threads: Vec<_> = (0..4).map(|_| s.spawn(draw)).collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).map(f64::to_bits).collect()
    });
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 4000);
}

#[test]
fn what_is_no_distribution_raises() {
    let g = Generator::new(0);
    let (some, bad) = ([2], [-1]);
    for (result, part) in [
        (g.rand(&bad, None), "rand: shape [-1] has a negative size"),
        (g.rand(&some, Some(DType::I64)), "rand: dtype int64"),
        (g.normal(0.0, -1.0, &some, None), "std is -1"),
        (g.normal(0.0, f64::NAN, &some, None), "std is NaN"),
        (g.uniform(2.0, 1.0, &some, None), "low is 2 and high is 1"),
        (g.uniform(0.0, f64::INFINITY, &some, None), "finite"),
        (g.randint(3, 3, &some, None), "expected low below high"),
        (g.randint(0, 300, &some, Some(DType::U8)), "uint8 cannot hold all integers from 0 to 299"),
        (g.bernoulli(1.5, &some, None), "p is 1.5, expected a probability"),
        (g.permutation(-1), "negative"),
    ] {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(g.state(), [0, 0], "a request that fails draws nothing");
    assert_eq!(g.randn(&[0, 3], None).unwrap().shape(), [0, 3]);
    assert_eq!(g.randn(&[], None).unwrap().shape().len(), 0);
}
