//! Constants and minimax coefficients of the functions in this room.
//!
//! The polynomials come from a Remez exchange in 50-digit arithmetic on the reduced interval, weighted for
//! the relative error of the function itself; the error after each table is the one before rounding the
//! coefficients. Heads and tails are the value rounded to the stated bits and the rounded remainder.
#![allow(clippy::excessive_precision, clippy::unreadable_literal, clippy::approx_constant, reason = "digits as they were computed")]

/// |x| below this: `erf` by its odd polynomial; above: through the logarithm of its complement.
pub const ERF_CUT: f64 = 0.945;

/// Constants in `f32`.
pub mod f32 {
    /// `exp` of more overflows, of less than its negative is zero.
    pub const EXP_CLAMP: f32 = 105.0;
    /// Exponents of powers of two are raised by this, so that the power is a normal number.
    pub const EXP_RAISED: i16 = 64;
    /// The factor that undoes it.
    pub const EXP_LOWER: f32 = 5.421010862427522e-20;
    /// The logistic function is 1 for arguments of this size or more.
    pub const LOGISTIC_MAX: f32 = 40.0;
    /// The exponent of the exponential in `logistic` is lowered by this.
    pub const LOGISTIC_LOWERED: i16 = 40;
    /// One, with its exponent lowered.
    pub const LOGISTIC_UNIT: f32 = 9.094947017729282e-13;
    /// `expm1` is −1 below and infinite above.
    pub const EXPM1_RANGE: [f32; 2] = [-60.0, 89.0];
    /// `sinh` and `cosh` are infinite above.
    pub const SINH_MAX: f32 = 89.5;
    /// `tanh` is 1 for arguments of this size or more.
    pub const TANH_MAX: f32 = 10.0;
    /// Half an ulp relative to one, squared or less.
    pub const TINY: f32 = 9.313226e-10;
    /// `erf` rounds to one from here on.
    pub const ERF_CLAMP: f32 = 3.93;
    /// ln 2 as head and tail.
    pub const LN2: [f32; 2] = [0.69314575, 1.4286068e-06];
    /// 1/ln 2 as half-width head and tail.
    pub const LOG2_E: [f32; 2] = [1.4428711, -0.00017605285];
    /// 1/ln 10 as half-width head and tail.
    pub const LOG10_E: [f32; 2] = [0.43432617, -3.168997e-05];
    /// log10 2 as head and tail.
    pub const LOG10_2: [f32; 2] = [0.3010254, 4.605039e-06];
    /// π/2 in full-width parts.
    pub const PIO2_FMA: [f32; 3] = [1.5707964, -4.371139e-08, -1.7151245e-15];
    /// π/2 in parts of 15 bits and the rest.
    pub const PIO2_SPLIT: [f32; 4] = [1.5708008, -4.454516e-06, 6.077272e-11, -1.7151245e-15];
    /// Bounds of the fast reduction with and without FMA.
    pub const TRIG_LIMIT: [f32; 2] = [100000.0, 700.0];
    /// (eʳ − 1 − r)/r². Minimax, error 2^-26.15.
    pub const EXP: [f32; 5] = [0.5, 0.16666542, 0.04166628, 0.0083667105, 0.0013946671];
    /// (eʳ − 1 − r)/r². Minimax, error 2^-31.96.
    pub const EXPM1: [f32; 6] = [0.5, 0.16666667, 0.04166635, 0.008333272, 0.0013941206, 0.00019914452];
    /// (log((1+s)/(1−s))/s − 2)/s² in s². Minimax, error 2^-30.20.
    pub const LOG: [f32; 3] = [0.66666776, 0.39977497, 0.29873073];
    /// (sin r / r − 1)/r² in r². Minimax, error 2^-28.01.
    pub const SIN: [f32; 3] = [-0.16666655, 0.008332159, -0.00019514724];
    /// (cos r − 1 + r²/2)/r⁴ in r². Minimax, error 2^-33.23.
    pub const COS: [f32; 3] = [0.041666646, -0.0013887343, 2.4435561e-05];
    /// erf x / x − 1 in x². Minimax, error 2^-30.61.
    pub const ERF_NEAR: [f32; 7] = [0.12837917, -0.37612632, 0.11283664, -0.026857706, 0.005196952, -0.0008097703, 8.185093e-05];
    /// −log(erfc x) in x. Minimax, error 2^-29.40.
    pub const ERF_FAR: [f32; 7] = [0.00022771045, 1.127544, 0.6374024, 0.103739426, -0.02213476, 0.0030202067, -0.00019360156];
    /// `exp2` beyond ±this overflows or underflows for certain.
    pub const EXP2_CLAMP: f32 = 160.0;
    /// Exponents beyond ±this take every number but one to 0 or ∞.
    pub const POW_CLAMP: f32 = 17179870000.0;
    /// 2/ln 2 as head and tail.
    pub const POW_FIRST: [f32; 2] = [2.88539, 3.851926e-08];
    /// (2/3)/ln 2 as head and tail.
    pub const POW_THIRD: [f32; 2] = [0.9617967, -7.028462e-09];
    /// log2((1+s)/(1−s))/s without its first two terms, over s⁴, in s². Minimax, error 2^-36.78.
    pub const POW: [f32; 3] = [0.5770802, 0.41184735, 0.3378765];
    /// (tanh r / r − 1)/r² in r². Minimax, error 2^-27.35.
    pub const TANH: [f32; 3] = [-0.33333176, 0.13320452, -0.050954424];
    /// `gelu` is zero below minus this, and the argument above this.
    pub const NORMAL_CLAMP: f32 = 14.5;
    /// The pole of the variable of `NORMAL`.
    pub const NORMAL_SHIFT: f32 = 2.5;
    /// 2·(a + `NORMAL_SHIFT`)·e^(a²/2)·Φ(−a) − 1 in a/(a + `NORMAL_SHIFT`) − ½. Minimax, error 2^-25.38.
    pub const NORMAL: [f32; 10] =
        [0.41331333, -1.734768, 1.0558957, 0.14777423, -0.5243531, -0.10246179, 0.32298163, 0.17519188, -0.1591621, -0.16104011];
    /// As `NORMAL_CLAMP`, for the approximation by tanh.
    pub const GELU_CLAMP: f32 = 11.0;
    /// 2·√(2/π) and 0.044715 of it as heads and tails.
    pub const GELU: [[f32; 2]; 2] = [[1.5957692, -4.534068054340423e-08], [0.071354814, 2.3988324659995897e-09]];
}

/// Constants in `f64`.
pub mod f64 {
    /// `exp` of more overflows, of less than its negative is zero.
    pub const EXP_CLAMP: f64 = 750.0;
    /// Exponents of powers of two are raised by this, so that the power is a normal number.
    pub const EXP_RAISED: i16 = 512;
    /// The factor that undoes it.
    pub const EXP_LOWER: f64 = 7.458340731200207e-155;
    /// The logistic function is 1 for arguments of this size or more.
    pub const LOGISTIC_MAX: f64 = 60.0;
    /// The exponent of the exponential in `logistic` is lowered by this.
    pub const LOGISTIC_LOWERED: i16 = 140;
    /// One, with its exponent lowered.
    pub const LOGISTIC_UNIT: f64 = 7.174648137343064e-43;
    /// `expm1` is −1 below and infinite above.
    pub const EXPM1_RANGE: [f64; 2] = [-60.0, 710.0];
    /// `sinh` and `cosh` are infinite above.
    pub const SINH_MAX: f64 = 710.6;
    /// `tanh` is 1 for arguments of this size or more.
    pub const TANH_MAX: f64 = 20.0;
    /// Half an ulp relative to one, squared or less.
    pub const TINY: f64 = 8.673617379884035e-19;
    /// `erf` rounds to one from here on.
    pub const ERF_CLAMP: f64 = 5.94;
    /// ln 2 as head and tail.
    pub const LN2: [f64; 2] = [0.6931471805601177, -1.7239444525614835e-13];
    /// 1/ln 2 as half-width head and tail.
    pub const LOG2_E: [f64; 2] = [1.4426950514316559, -1.0542692476429138e-08];
    /// 1/ln 10 as half-width head and tail.
    pub const LOG10_E: [f64; 2] = [0.4342944845557213, -2.6524694553078553e-09];
    /// log10 2 as head and tail.
    pub const LOG10_2: [f64; 2] = [0.3010299956640665, -8.532344317057107e-14];
    /// π/2 in full-width parts.
    pub const PIO2_FMA: [f64; 3] = [1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33];
    /// π/2 in parts of 33 bits and the rest.
    pub const PIO2_SPLIT: [f64; 4] = [1.5707963267341256, 6.077100506303966e-11, 2.0222662487111665e-21, 8.4784276603689e-32];
    /// Bounds of the fast reduction with and without FMA.
    pub const TRIG_LIMIT: [f64; 2] = [1000000000.0, 1500000.0];
    /// (eʳ − 1 − r)/r². Minimax, error 2^-55.61.
    pub const EXP: [f64; 10] = [
        0.5000000000000006,
        0.16666666666666685,
        0.041666666666572205,
        0.0083333333333143,
        0.001388888893287672,
        0.00019841269903750575,
        2.4801503814480486e-05,
        2.7557227243779317e-06,
        2.7626589129312046e-07,
        2.5114715958280354e-08,
    ];
    /// (eʳ − 1 − r)/r². Minimax, error 2^-61.69.
    pub const EXPM1: [f64; 11] = [
        0.5,
        0.16666666666666677,
        0.0416666666666667,
        0.008333333333321436,
        0.0013888888888866533,
        0.00019841269886672444,
        2.4801587361165956e-05,
        2.755724360994764e-06,
        2.7557242231166225e-07,
        2.5109261584356516e-08,
        2.0924608679426186e-09,
    ];
    /// (log((1+s)/(1−s))/s − 2)/s² in s². Minimax, error 2^-59.48.
    pub const LOG: [f64; 7] = [
        0.6666666666666735,
        0.3999999999941109,
        0.2857142874326305,
        0.22222198475954816,
        0.1818356974136065,
        0.15313903207109522,
        0.1479750810386427,
    ];
    /// (sin r / r − 1)/r² in r². Minimax, error 2^-57.93.
    pub const SIN: [f64; 6] =
        [-0.1666666666666663, 0.008333333333321981, -0.00019841269829446202, 2.755731356157675e-06, -2.5050737003677773e-08, 1.589553415782521e-10];
    /// (cos r − 1 + r²/2)/r⁴ in r². Minimax, error 2^-64.13.
    pub const COS: [f64; 6] = [
        0.041666666666666595,
        -0.001388888888887354,
        2.4801587289100183e-05,
        -2.7557314237526904e-07,
        2.0875707107927924e-09,
        -1.1358783817796139e-11,
    ];
    /// erf x / x − 1 in x². Minimax, error 2^-58.66.
    pub const ERF_NEAR: [f64; 12] = [
        0.12837916709551256,
        -0.37612638903183676,
        0.11283791670951067,
        -0.026866170644300136,
        0.005223977616626438,
        -0.0008548326470201222,
        0.00012055310904916276,
        -1.4925068286704692e-05,
        1.6451823546416083e-06,
        -1.6244671374682433e-07,
        1.3888021501303945e-08,
        -8.132049552507616e-10,
    ];
    /// −log(erfc x) in x. Minimax, error 2^-58.75.
    pub const ERF_FAR: [f64; 19] = [
        1.0315180329642443e-07,
        1.128378085762549,
        0.636625001410361,
        0.10275720487643426,
        -0.01909785462006107,
        -0.0002517768604233061,
        0.001737069062270105,
        -0.000613470073470812,
        2.5818821943197504e-05,
        8.075052849579007e-05,
        -4.9567271733645854e-05,
        1.8087806059148883e-05,
        -4.759308477952164e-06,
        9.431516147986577e-07,
        -1.4082568274593684e-07,
        1.544412939733199e-08,
        -1.17708433761852e-09,
        5.575884155015864e-11,
        -1.236623071489828e-12,
    ];
    /// `exp2` beyond ±this overflows or underflows for certain.
    pub const EXP2_CLAMP: f64 = 1100.0;
    /// Exponents beyond ±this take every number but one to 0 or ∞.
    pub const POW_CLAMP: f64 = 3.6893488147419103e+19;
    /// 2/ln 2 as head and tail.
    pub const POW_FIRST: [f64; 2] = [2.8853900817779268, 4.0710547481862066e-17];
    /// (2/3)/ln 2 as head and tail.
    pub const POW_THIRD: [f64; 2] = [0.9617966939259756, 5.0577616648125907e-17];
    /// log2((1+s)/(1−s))/s without its first two terms, over s⁴, in s². Minimax, error 2^-66.27.
    pub const POW: [f64; 7] = [
        0.5770780163556182,
        0.4121985830918482,
        0.32059890229086857,
        0.26230769953555483,
        0.22198407425581979,
        0.19125330874561028,
        0.19040323513621552,
    ];
    /// (tanh r / r − 1)/r² in r². Minimax, error 2^-55.73.
    pub const TANH: [f64; 7] = [
        -0.33333333333331516,
        0.13333333332711517,
        -0.05396825324771095,
        0.02186944889249147,
        -0.00886206612730359,
        0.003573078859865871,
        -0.0012930787332920944,
    ];
    /// `gelu` is zero below minus this, and the argument above this.
    pub const NORMAL_CLAMP: f64 = 38.7;
    /// The pole of the variable of `NORMAL`.
    pub const NORMAL_SHIFT: f64 = 2.5;
    /// 2·(a + `NORMAL_SHIFT`)·e^(a²/2)·Φ(−a) − 1 in a/(a + `NORMAL_SHIFT`) − ½. Minimax, error 2^-53.92.
    pub const NORMAL: [f64; 25] = [
        0.4133133138057531,
        -1.7347685673879298,
        1.0558982280199267,
        0.14782679385922776,
        -0.5244808125273261,
        -0.10400064027966946,
        0.32488429471691593,
        0.1943556308317981,
        -0.1660024817805621,
        -0.2688437408455158,
        -0.03735009413465689,
        0.23107349439420358,
        0.2414175598093656,
        -0.013741477970525643,
        -0.2790839066002394,
        -0.2906555750486259,
        -0.008150704085023759,
        0.3589093767808076,
        0.4706018834631216,
        0.0687058322948757,
        -0.5748108206958364,
        -0.6191575395381492,
        0.09307483346957797,
        0.5163229449229557,
        0.242014898227492,
    ];
    /// As `NORMAL_CLAMP`, for the approximation by tanh.
    pub const GELU_CLAMP: f64 = 22.0;
    /// 2·√(2/π) and 0.044715 of it as heads and tails.
    pub const GELU: [[f64; 2]; 2] = [[1.5957691216057308, -9.96930880911092e-17], [0.07135481627260025, -6.175149918155315e-19]];
}
