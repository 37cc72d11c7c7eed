"""Mistakes that are easy to make: the message names the operation, what came, what was expected."""

import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.optim import lr_scheduler

F = nn.functional


def sgd():
    return tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=0.1)


def layer():
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def chained(kind):
    optimizer = sgd()
    return kind([lr_scheduler.ConstantLR(optimizer), lr_scheduler.ExponentialLR(optimizer, 0.5)])


def sequential(schedulers):
    return lr_scheduler.SequentialLR(schedulers[0].optimizer, schedulers, [1])


X = tg.ones(4, 3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: lr_scheduler.StepLR(sgd(), 0), ValueError, "StepLR: step_size is 0, expected a number of steps above 0"),
        (lambda: lr_scheduler.StepLR(sgd(), "3"), TypeError, "StepLR: step_size must be a number of steps above 0, not str"),
        (lambda: lr_scheduler.CosineAnnealingLR(sgd(), 0), ValueError, "CosineAnnealingLR: T_max is 0"),
        (lambda: lr_scheduler.LinearLR(sgd(), total_iters=-1), ValueError, "LinearLR: total_iters is -1"),
        (lambda: lr_scheduler.PolynomialLR(sgd(), 0), ValueError, "PolynomialLR: total_iters is 0"),
        (lambda: lr_scheduler.LambdaLR(sgd(), 0.9), TypeError, "LambdaLR: lr_lambda must be a function .* not float"),
        (lambda: layer()[0].register_buffer("weight", X), KeyError, "Linear already has an attribute 'weight'"),
        (lambda: layer()[1].register_parameter("running_mean", nn.Parameter([1.0])), KeyError, "already has an attribute"),
        (lambda: layer()[0].add_module("weight", nn.ReLU()), KeyError, "already has an attribute 'weight'"),
        (lambda: layer()[0].register_buffer("forward", X), KeyError, "already has an attribute 'forward'"),
        (lambda: nn.TripletMarginLoss(margin=-1), ValueError, "TripletMarginLoss: margin is -1, expected a number above 0"),
        (lambda: nn.TripletMarginWithDistanceLoss(margin=0), ValueError, "margin is 0, expected a number above 0"),
        (lambda: F.triplet_margin_loss(X, X, X, margin=0), ValueError, "triplet_margin_loss: margin is 0"),
        (lambda: F.cosine_similarity(X, tg.ones(4, 2)), tg.ShapeError, r"cosine_similarity: shapes \(4, 3\) and \(4, 2\)"),
        (lambda: tg.put_along_axis(tg.ones(2, 3), [[0]], 5.0, 3), tg.AxisError, "put_along_axis: axis 3 is out of bounds"),
        (lambda: tg.put_along_axis(tg.tensor(1.0), [0], 5.0, 0), tg.AxisError, "put_along_axis: axis 0 is out of bounds"),
        (lambda: tg.size(X, 2), tg.AxisError, "size: axis 2 is out of bounds for an array of 2 dimensions"),
        (lambda: tg.ndimage.gaussian_filter(X, 1.0, axes=(0, -2)), ValueError, r"ndimage: an axis of \(0, -2\) is named twice"),
        (lambda: tg.signal.hilbert([1.0, 2.0], 0), ValueError, "hilbert: a signal of 0 elements, expected 1 or more"),
        (lambda: tg.signal.hilbert(1.0), tg.AxisError, "hilbert: axis -1 is out of bounds"),
        (lambda: tg.lax.associative_scan(tg.add, X, axis=2), tg.AxisError, "associative_scan: axis 2 is out of bounds"),
        (lambda: tg.special.expn(2.5, 1.0), ValueError, "expn: n is 2.5, expected a whole number from 0 on"),
        (lambda: tg.special.spherical_jn(1.5, 1.0), ValueError, "spherical_jn: n is 1.5, expected a whole number from 0 on"),
        (lambda: tg.special.chebyshev_polynomial_t(1.0, 2.5), ValueError, "the degree is 2.5, expected a whole number"),
        (lambda: tg.special.eval_legendre(None, 1.0), ValueError, "the degree is None, expected a whole number"),
        (lambda: tg.special.agm(1.0, None), TypeError, "an argument is None, expected a number or an array"),
        (lambda: tg.signal.lfilter([1.0], [1.0], None), TypeError, "an argument is None, expected a number or an array"),
        (lambda: tg.stats.norm(None).mean(), TypeError, "None"),
        (lambda: tg.ndimage.gaussian_filter1d(X, 0.0), ValueError, "gaussian_filter1d: sigma is 0.0, expected a finite number"),
        (lambda: tg.ndimage.gaussian_filter1d(X, float("nan")), ValueError, "gaussian_filter1d: sigma is nan"),
        (lambda: tg.optimize.minimize(tg.sum, X, method=3), ValueError, "minimize: method is 3, expected"),
        (lambda: tg.fft.dct(X, type="2"), ValueError, "dct: type is .2., expected 1, 2, 3 or 4"),
        (lambda: F.batch_norm(X, [1.0], None), tg.ShapeError, r"batch_norm: running_mean must have shape \(3,\), .* not list"),
        (lambda: tg.random.choice(2.5), TypeError, "choice: expected an int or an array to draw from, got 2.5"),
        (lambda: tg.interpolate.BSpline(range(5), [1.0, 2.0], 1.5), ValueError, "BSpline: the degree is 1.5"),
        (lambda: tg.trim_zeros([0.0, 1.0], "x"), ValueError, "trim_zeros: trim is 'x', expected 'f', 'b' or 'fb'"),
        (lambda: tg.linalg.pinv(X, rcond=0.1, rtol=0.2), ValueError, "pinv: give rcond or rtol, .* not both"),
        (lambda: tg.linalg.matrix_rank(X, tol=0.1, rtol=0.2), ValueError, "matrix_rank: give tol, or rtol and atol, not both"),
        (lambda: tg.linalg.matrix_rank(X, tol=0.1, atol=0.2), ValueError, "matrix_rank: give tol, or rtol and atol, not both"),
        (lambda: chained(lr_scheduler.ChainedScheduler).step(3), TypeError, r"ChainedScheduler: step\(\) takes no epoch, got 3"),
        (lambda: chained(sequential).step(0), TypeError, r"SequentialLR: step\(\) takes no epoch, got 0"),
        (lambda: X.to("cpu", True, False, True), TypeError, r"to\(\) takes two flags, non_blocking and copy, got 3"),
        (lambda: X.view_as(None), TypeError, "cannot make an array of NoneType"),
        (lambda: F.normalize(X, dim=5), IndexError, r"normalize: dim 5 is out of bounds for an input of shape \(4, 3\)"),
        (lambda: nn.utils.parameters_to_vector(layer()), TypeError, r"pass its parameters, as in parameters_to_vector\(net"),
        (lambda: nn.init.xavier_uniform_(tg.ones(3)), tg.ShapeError, r"nn.init: fan in .* got shape \(3,\)"),
        (lambda: nn.init.kaiming_normal_(X, mode="fan"), ValueError, "nn.init: mode must be 'fan_in' or 'fan_out', got 'fan'"),
        (lambda: tg.load(None), TypeError, "tg.load: expected the name of a file, or an open file, not NoneType"),
        (lambda: tg.save({}, 3), TypeError, "tg.save: expected the name of a file, or an open file, not int"),
        (lambda: tg.save({}, "no/such/folder/x.pt"), FileNotFoundError, "tg.save: there is no such folder; make it first"),
        (lambda: tg.train.fit(layer(), 5, F.cross_entropy, sgd(), epochs=1), TypeError, "fit: loader must give batches"),
        (lambda: tg.optim.Adam([X.clone().requires_grad_()], betas=0.9), TypeError, "Adam.*betas.*pair of floats"),
        (lambda: nn.utils.clip_grad_value_(layer().parameters(), "a"), TypeError, "clip_grad_value_.*clip_value"),
        (lambda: tg.manual_seed("a"), TypeError, "manual_seed"),
        (lambda: X.masked_fill(tg.ones(3, 4).bool(), 0), tg.ShapeError, "masked_fill"),
        (lambda: lr_scheduler.ReduceLROnPlateau(sgd()).step(), TypeError, "metrics"),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_parts_of_the_same_kind_are_replaced():
    model = layer()
    model[0].register_parameter("weight", nn.Parameter(tg.zeros(2, 3)))
    model[1].register_buffer("running_mean", tg.ones(2))
    model.add_module("0", nn.Identity())
    assert model[1].running_mean.tolist() == [1, 1]
    assert isinstance(model[0], nn.Identity)
    model[1].register_buffer("extra", None)
    model[1].register_buffer("extra", tg.ones(1))
    assert "1.extra" in model.state_dict()
