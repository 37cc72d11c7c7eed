//! Compares each method with its scalar formula over 100 steps. Also state, groups, and invalid input.

use super::*;
use crate::array::DType;
use crate::kernel::parallel::with_threads;
use crate::ops::samples::{Draw, REAL};

const STEPS: usize = 100;

fn parameter(data: &[f64]) -> Arc<Leaf> {
    Leaf::new(Array::from_slice(data, &[data.len()]).into(), true)
}

fn give(p: &Arc<Leaf>, g: &[f64]) {
    p.set_grad(Some(Leaf::new(Array::from_slice(g, &[g.len()]).into(), false)));
}

fn optimizer<M: Method>(options: &M::Options, params: &[&Arc<Leaf>]) -> Optimizer<M> {
    Optimizer::new(vec![Group { options: options.clone(), params: params.iter().map(|p| Arc::clone(p)).collect() }])
        .expect("options and parameters that fit")
}

/// How many steps a parameter of the optimizer has seen.
fn steps_of<M: Method>(optimizer: &Optimizer<M>, p: &Arc<Leaf>) -> u64 {
    optimizer.state(p).expect("a parameter that was stepped has a state").step()
}

fn gradients(seed: u64) -> Vec<[f64; 2]> {
    let draw = &mut Draw::new(seed);
    (0..STEPS).map(|_| [REAL.number(draw), REAL.number(draw)]).collect()
}

/// Runs `M` and the formula `step(t, p, g, state)` side by side.
fn agrees<M: Method>(options: &M::Options, step: impl Fn(i32, f64, f64, &mut [f64; 3]) -> f64) {
    let mut want = [1.5, -0.25];
    let mut state = [[0.0; 3]; 2];
    let p = parameter(&want);
    let mut opt = optimizer::<M>(options, &[&p]);
    for (t, g) in (1..).zip(gradients(7)) {
        give(&p, &g);
        opt.step().expect("a step on gradients that fit");
        for i in 0..2 {
            want[i] = step(t, want[i], g[i], &mut state[i]);
        }
        for (got, want) in p.array().to_vec::<f64>().iter().zip(want) {
            assert!((got - want).abs() <= 1e-12 * (1.0 + want.abs()), "{options:?}, step {t}: {got} is not {want}");
        }
    }
}

#[test]
fn sgd() {
    let base = SgdOptions { lr: 0.05, ..SgdOptions::default() };
    agrees::<Sgd>(&base, |_, p, g, _| p - 0.05 * g);
    agrees::<Sgd>(&SgdOptions { maximize: true, weight_decay: 0.1, ..base.clone() }, |_, p, g, _| p - 0.05 * (0.1 * p - g));
    for nesterov in [false, true] {
        let dampening = if nesterov { 0.0 } else { 0.3 };
        agrees::<Sgd>(&SgdOptions { momentum: 0.9, dampening, nesterov, weight_decay: 0.02, ..base.clone() }, |t, p, g, s| {
            let g = g + 0.02 * p;
            s[0] = if t == 1 { g } else { 0.9 * s[0] + (1.0 - dampening) * g };
            p - 0.05 * if nesterov { g + 0.9 * s[0] } else { s[0] }
        });
    }
}

#[test]
fn adam() {
    let base = AdamOptions { lr: 0.03, betas: [0.8, 0.95], weight_decay: 0.1, ..AdamOptions::default() };
    for (amsgrad, decoupled_weight_decay, maximize) in [(false, false, false), (true, false, true), (false, true, false), (true, true, true)] {
        agrees::<Adam>(&AdamOptions { amsgrad, maximize, decoupled_weight_decay, ..base.clone() }, |t, p, g, s| {
            let g = if maximize { -g } else { g };
            let (p, g) = if decoupled_weight_decay { (p - 0.03 * 0.1 * p, g) } else { (p, g + 0.1 * p) };
            s[0] = 0.8 * s[0] + 0.2 * g;
            s[1] = 0.95 * s[1] + 0.05 * g * g;
            s[2] = s[2].max(s[1]);
            let (m, v) = (s[0] / (1.0 - 0.8_f64.powi(t)), if amsgrad { s[2] } else { s[1] } / (1.0 - 0.95_f64.powi(t)));
            p - 0.03 * m / (v.sqrt() + 1e-8)
        });
    }
    assert!(AdamOptions::adamw().decoupled_weight_decay);
}

#[test]
fn rmsprop() {
    let base = RmsPropOptions { lr: 0.01, alpha: 0.9, weight_decay: 0.05, ..RmsPropOptions::default() };
    for (centered, momentum, maximize) in [(false, 0.0, false), (true, 0.0, true), (false, 0.8, true), (true, 0.8, false)] {
        agrees::<RmsProp>(&RmsPropOptions { momentum, centered, maximize, ..base.clone() }, |_, p, g, s| {
            let g = if maximize { -g } else { g } + 0.05 * p;
            s[0] = 0.9 * s[0] + 0.1 * g * g;
            s[1] = 0.9 * s[1] + 0.1 * g;
            let d = if centered { s[0] - s[1] * s[1] } else { s[0] }.sqrt() + 1e-8;
            s[2] = momentum * s[2] + g / d;
            p - 0.01 * s[2]
        });
    }
}

#[test]
fn constant_gradients_do_not_make_nan() {
    let p = parameter(&[1.0, 2.0]);
    let mut opt = optimizer::<RmsProp>(&RmsPropOptions { centered: true, alpha: 0.3, ..RmsPropOptions::default() }, &[&p]);
    for _ in 0..200 {
        give(&p, &[0.1, 0.3]);
        opt.step().expect("a step on gradients that fit");
    }
    assert!(p.array().to_vec::<f64>().iter().all(|x| x.is_finite()));
}

#[test]
fn a_parameter_without_gradient_is_skipped_and_its_state_stays() {
    let (a, b, alone) = (parameter(&[1.0]), parameter(&[1.0]), parameter(&[1.0]));
    let mut both = optimizer::<Adam>(&AdamOptions::default(), &[&a, &b]);
    let mut one = optimizer::<Adam>(&AdamOptions::default(), &[&alone]);
    for t in 0..10 {
        let g = [f64::from(t) - 3.0];
        a.set_grad(None);
        if t % 3 == 0 {
            give(&a, &[5.0]);
        }
        give(&b, &g);
        give(&alone, &g);
        both.step().expect("a step on gradients that fit");
        one.step().expect("a step on gradients that fit");
    }
    assert_eq!(b.array().to_vec::<f64>(), alone.array().to_vec::<f64>());
    assert_eq!((steps_of(&both, &a), steps_of(&both, &b)), (4, 10));
}

#[test]
fn a_frozen_parameter_stays() {
    let p = parameter(&[1.0]);
    let mut opt = optimizer::<Sgd>(&SgdOptions::default(), &[&p]);
    give(&p, &[1.0]);
    p.set_requires_grad(false);
    let groups = opt.groups().to_vec();
    opt.set_groups(groups).expect("groups of the optimizer itself");
    opt.step().expect("a step on gradients that fit");
    assert_eq!(p.array().to_vec::<f64>(), [1.0]);
}

#[test]
fn steps_are_in_place_and_never_change_another_holder() {
    let p = parameter(&[1.0, 2.0]);
    let mut opt = optimizer::<Sgd>(&SgdOptions { lr: 1.0, momentum: 0.5, ..SgdOptions::default() }, &[&p]);
    give(&p, &[1.0, 1.0]);
    let place = p.array().storage().as_ptr();
    opt.step().expect("a step on gradients that fit");
    assert_eq!(p.array().storage().as_ptr(), place);
    let old = p.array();
    opt.step().expect("a step on gradients that fit");
    assert_eq!((old.to_vec::<f64>(), p.array().to_vec::<f64>()), (vec![0.0, 1.0], vec![-1.5, -0.5]));
}

#[test]
fn gradients_of_any_layout() {
    let p = Leaf::new(Array::zeros(&[2, 3], DType::F32).into(), true);
    let g = Array::from_slice(&[0.0_f32, 1.0, 2.0, 3.0, 4.0, 5.0], &[3, 2]);
    let mut opt = optimizer::<Sgd>(&SgdOptions { lr: 1.0, ..SgdOptions::default() }, &[&p]);
    p.set_grad(Some(Leaf::new(g.with_layout(g.layout().permute(&[1, 0])).into(), false)));
    opt.step().expect("a step on gradients that fit");
    assert_eq!(p.array().to_vec::<f32>(), [-0.0, -2.0, -4.0, -1.0, -3.0, -5.0]);
}

/// Half of the steps, then the state by name into a new optimizer, then the rest: the same bits.
fn resumes<M: Method>(options: &M::Options) {
    let (a, b) = (parameter(&[1.5, -0.25]), parameter(&[0.0; 2]));
    let mut opt = optimizer::<M>(options, &[&a]);
    let mut other = optimizer::<M>(options, &[&b]);
    for (t, g) in gradients(8).into_iter().enumerate() {
        if t == STEPS / 2 {
            b.update(|x| x.data_mut::<f64>().copy_from_slice(&a.array().to_vec::<f64>()));
            let state = opt.state(&a).unwrap();
            let arrays: Vec<(String, Array)> = state.arrays::<M>().map(|(n, x)| (n.to_owned(), x.clone())).collect();
            let read = Optimizer::<M>::read_state(options, &b, Some(state.step()), &arrays).unwrap();
            other.set_states(vec![(Arc::clone(&b), read)]).unwrap();
        }
        give(&a, &g);
        opt.step().expect("a step on gradients that fit");
        if t >= STEPS / 2 {
            give(&b, &g);
            other.step().expect("a step on gradients that fit");
        }
    }
    assert_eq!(a.array().to_vec::<f64>(), b.array().to_vec::<f64>());
}

#[test]
fn a_resumed_run_goes_on_bit_for_bit() {
    resumes::<Sgd>(&SgdOptions { momentum: 0.9, dampening: 0.1, ..SgdOptions::default() });
    resumes::<Adam>(&AdamOptions { amsgrad: true, ..AdamOptions::default() });
    resumes::<RmsProp>(&RmsPropOptions { centered: true, momentum: 0.5, ..RmsPropOptions::default() });
    resumes::<Adagrad>(&AdagradOptions { lr_decay: 0.1, initial_accumulator_value: 0.5, ..AdagradOptions::default() });
    resumes::<Adadelta>(&AdadeltaOptions::default());
    resumes::<Adamax>(&AdamaxOptions::default());
    resumes::<NAdam>(&NAdamOptions::default());
    resumes::<RAdam>(&RAdamOptions::default());
    resumes::<Asgd>(&AsgdOptions { t0: 3.0, ..AsgdOptions::default() });
    resumes::<Rprop>(&RpropOptions::default());
    resumes::<Lion>(&LionOptions::default());
}

#[test]
fn saved_states_are_checked() {
    let p = parameter(&[1.0, 2.0]);
    let array = |n: usize| Array::zeros(&[n], DType::F64);
    let read = |step, arrays: &[(&str, Array)]| {
        let arrays: Vec<_> = arrays.iter().map(|(n, a)| ((*n).to_owned(), a.clone())).collect();
        Optimizer::<Adam>::read_state(&AdamOptions::default(), &p, step, &arrays).map_err(|e| e.to_string())
    };
    assert!(read(Some(1), &[("exp_avg", array(2)), ("exp_avg_sq", array(2))]).is_ok());
    assert!(read(None, &[("exp_avg", array(2)), ("exp_avg_sq", array(2))]).unwrap_err().contains("'step'"));
    assert!(read(Some(1), &[("exp_avg", array(2))]).unwrap_err().contains("lacks 'exp_avg_sq'"));
    assert!(read(Some(1), &[("exp_avg", array(3)), ("exp_avg_sq", array(2))]).unwrap_err().contains("(3,)"));
    assert!(read(Some(1), &[("velocity", array(2))]).unwrap_err().contains("'velocity'"));
}

#[test]
fn options_that_make_no_sense_raise() {
    let message = |o: SgdOptions| Sgd::check(&o).unwrap_err().to_string();
    assert_eq!(message(SgdOptions { lr: -0.1, ..SgdOptions::default() }), "SGD: lr must not be negative, not -0.1");
    assert!(message(SgdOptions { lr: f64::NAN, ..SgdOptions::default() }).contains("NaN"));
    assert!(message(SgdOptions { nesterov: true, ..SgdOptions::default() }).contains("momentum above 0"));
    assert!(message(SgdOptions { nesterov: true, momentum: 0.9, dampening: 0.1, ..SgdOptions::default() }).contains("dampening 0.1"));
    assert!(Adam::check(&AdamOptions { betas: [0.9, 1.0], ..AdamOptions::default() }).unwrap_err().to_string().contains("betas[1]"));
    assert!(Adam::check(&AdamOptions { eps: -1.0, ..AdamOptions::adamw() }).unwrap_err().to_string().starts_with("AdamW"));
    assert!(RmsProp::check(&RmsPropOptions { alpha: -1.0, ..RmsPropOptions::default() }).is_err());
}

#[test]
fn parameters_are_checked() {
    let new = |params: Vec<Arc<Leaf>>| Optimizer::<Sgd>::new(vec![Group { options: SgdOptions::default(), params }]).map_err(|e| e.to_string());
    let p = parameter(&[1.0]);
    assert!(new(vec![]).unwrap_err().contains("no parameters"));
    assert!(new(vec![Arc::clone(&p), Arc::clone(&p)]).unwrap_err().contains("given twice"));
    assert!(new(vec![Leaf::new(Array::scalar(1.0).into(), false)]).is_ok(), "a frozen parameter may be thawed later");
    let x = p.variable();
    assert!(leaf_of("SGD", &crate::ops::square(&x).unwrap()).unwrap_err().to_string().contains("result of an operation"));
    assert!(leaf_of("SGD", &x.detach()).is_err());
    let mut opt = new(vec![Arc::clone(&p)]).unwrap();
    assert!(opt.add_group(Group { options: SgdOptions::default(), params: vec![Arc::clone(&p)] }).is_err());
    assert!(opt.set_options(0, SgdOptions { lr: -1.0, ..SgdOptions::default() }).is_err());
    assert_eq!((opt.groups().len(), opt.groups()[0].options.lr), (1, 1e-3));
    let q = parameter(&[1.0, 2.0]);
    opt.add_group(Group { options: SgdOptions { lr: 1.0, ..SgdOptions::default() }, params: vec![Arc::clone(&q)] }).unwrap();
    give(&p, &[1.0]);
    give(&q, &[1.0]);
    assert!(opt.step().unwrap_err().to_string().contains("(2,) has a gradient of shape (1,)"));
    assert_eq!(p.array().to_vec::<f64>(), [1.0]);
}

#[test]
fn gradients_are_forgotten_or_zeroed() {
    let p = parameter(&[1.0, 2.0]);
    let opt = optimizer::<Sgd>(&SgdOptions::default(), &[&p]);
    give(&p, &[1.0, 2.0]);
    let held = p.grad().unwrap().array();
    opt.zero_grad(false);
    assert_eq!((p.grad().unwrap().array().to_vec::<f64>(), held.to_vec::<f64>()), (vec![0.0; 2], vec![1.0, 2.0]));
    opt.zero_grad(true);
    assert!(p.grad().is_none());
}

/// Many parameters are distributed over threads; the result is the same as for each of them alone.
#[test]
fn many_parameters_are_updated_like_each_alone() {
    let value = |i: usize| {
        Array::from_slice(&(0..20_000_u32).map(|k| f64::from(k % 97) / 50.0 + f64::from(u32::try_from(i).unwrap())).collect::<Vec<_>>(), &[20_000])
    };
    let make = |i: usize| {
        let leaf = leaf_of("test", &Variable::parameter(value(i)).unwrap()).unwrap();
        leaf.set_grad(Some(Leaf::new(value(i + 1).into(), false)));
        leaf
    };
    let run = |leaves: &[Arc<Leaf>]| {
        let mut adam = Optimizer::<Adam>::new(vec![Group { options: AdamOptions::default(), params: leaves.to_vec() }]).unwrap();
        (0..3).for_each(|_| adam.step().unwrap());
        leaves.iter().map(|l| l.array().to_vec::<f64>()).collect::<Vec<_>>()
    };
    let together = run(&(0..16).map(make).collect::<Vec<_>>());
    for (i, want) in together.iter().enumerate() {
        assert_eq!(&run(&[make(i)])[0], want);
    }
}

#[test]
fn clipping_inside_of_a_step_is_clipping_before_it() {
    let (a, b) = (parameter(&[1.0, 2.0]), parameter(&[1.0, 2.0]));
    for p in [&a, &b] {
        give(p, &[3.0, -4.0]);
    }
    let options = AdamOptions { weight_decay: 0.1, ..AdamOptions::default() };
    let norm = optimizer::<Adam>(&options, &[&a]).step_clipped(1.0).unwrap();
    let total = clip_grad_norm([&b], 1.0, 2.0, true).unwrap();
    optimizer::<Adam>(&options, &[&b]).step().expect("a step on gradients that fit");
    assert_eq!(total.to_vec::<f64>(), [norm]);
    assert!((norm - 5.0).abs() < 1e-15, "{norm}");
    assert_eq!(a.array().to_vec::<f64>(), b.array().to_vec::<f64>());
    assert_eq!(a.grad().unwrap().array().to_vec::<f64>(), [3.0, -4.0]);
    assert!(clip_grad_norm([&b], -1.0, 2.0, true).is_err() && clip_grad_value([&b], f64::NAN).is_err());
}

/// A gradient that is the parameter itself cannot be locked beside it, so it is read before.
#[test]
fn a_leaf_may_be_its_own_gradient() {
    let p = parameter(&[2.0, 4.0]);
    p.set_grad(Some(Arc::clone(&p)));
    let options = SgdOptions { lr: 0.5, ..SgdOptions::default() };
    optimizer::<Sgd>(&options, &[&p]).step().expect("a step on gradients that fit");
    assert_eq!(p.array().to_vec::<f64>(), [1.0, 2.0]);
    p.set_grad(None);
}

#[test]
fn norms_are_the_same_for_any_number_of_threads() {
    let draw = &mut Draw::new(3);
    let data: Vec<f64> = (0..300_001).map(|_| REAL.number(draw)).collect();
    let both = || {
        let few: Vec<_> = data.chunks(20_001).map(|part| Array::from_slice(part, &[part.len()])).collect();
        let one = [Array::from_slice(&data, &[data.len()])];
        [clip::norm_of(&few, 2.0).to_bits(), clip::norm_of(&one, 2.0).to_bits()]
    };
    let norms: Vec<u64> = [1, 2, 3, 4].map(|threads| with_threads(threads, both)).concat();
    assert!(norms.chunks(2).all(|n| n == &norms[..2]));
}

/// Steps with gradients that are multiplied by a quarter equal steps with a quarter of the gradients, for every method.
#[test]
fn scaled_steps_are_steps_with_scaled_gradients() {
    fn compare<M: Method>(options: &M::Options) {
        let (a, b) = (parameter(&[1.5, -0.25]), parameter(&[1.5, -0.25]));
        let (mut one, mut two) = (optimizer::<M>(options, &[&a]), optimizer::<M>(options, &[&b]));
        for g in gradients(3) {
            give(&a, &g);
            give(&b, &g.map(|x| x * 0.25));
            one.advance(0.25).unwrap();
            two.step().expect("a step on gradients that fit");
        }
        assert_eq!(a.array().to_vec::<f64>(), b.array().to_vec::<f64>(), "{}", M::NAME);
    }
    compare::<Adagrad>(&AdagradOptions { weight_decay: 0.5, ..AdagradOptions::default() });
    compare::<Adadelta>(&AdadeltaOptions::default());
    compare::<Adamax>(&AdamaxOptions::default());
    compare::<NAdam>(&NAdamOptions { weight_decay: 0.5, ..NAdamOptions::default() });
    compare::<RAdam>(&RAdamOptions::default());
    compare::<Asgd>(&AsgdOptions::default());
    compare::<Rprop>(&RpropOptions::default());
    compare::<Lion>(&LionOptions { weight_decay: 0.5, ..LionOptions::default() });
}

/// The product of momenta from its series equals the product step by step.
#[test]
fn nadam() {
    let momentum = |t: i32| 0.9 * (1.0 - 0.5 * 0.96_f64.powf(f64::from(t) * 0.05));
    let options = NAdamOptions { lr: 0.05, momentum_decay: 0.05, ..NAdamOptions::default() };
    agrees::<NAdam>(&options, |t, p, g, s| {
        let product: f64 = (1..=t).map(momentum).product();
        s[0] = 0.9 * s[0] + 0.1 * g;
        s[1] = 0.999 * s[1] + 0.001 * g * g;
        let denominator = (s[1] / (1.0 - 0.999_f64.powi(t))).sqrt() + 1e-8;
        let next = momentum(t + 1);
        p - 0.05 * ((1.0 - momentum(t)) / (1.0 - product) * g + next / (1.0 - product * next) * s[0]) / denominator
    });
}

#[test]
fn more_options_that_make_no_sense_raise() {
    assert!(Adadelta::check(&AdadeltaOptions { rho: 1.5, ..AdadeltaOptions::default() }).unwrap_err().to_string().contains("rho"));
    assert!(Rprop::check(&RpropOptions { etas: [1.2, 0.5], ..RpropOptions::default() }).unwrap_err().to_string().contains("etas"));
    assert!(Lion::check(&LionOptions { betas: [0.9, 1.0], ..LionOptions::default() }).unwrap_err().to_string().contains("betas[1]"));
    assert!(NAdam::check(&NAdamOptions { momentum_decay: -1.0, ..NAdamOptions::default() }).is_err());
    assert!(Adagrad::check(&AdagradOptions { initial_accumulator_value: -1.0, ..AdagradOptions::default() }).is_err());
}
