/* graft/plugin.h: the plugin ABI. A plugin links nothing of graft and exports one symbol.
 *
 * A plugin offers one or more interfaces: a method ("graft.method/1": LoRA, IA3, ...), an optimizer
 * ("graft.optimizer/1"), a backend ("graft.backend/1").
 *
 * Thread tags: [any] any thread, any time. [setup] one thread at a time per instance, before the
 * first step. [record] while a step is recorded, one thread; never per step or per token.
 * [step] once per optimizer step or kernel call; never two at once for one instance. */
#ifndef GRAFT_PLUGIN_H
#define GRAFT_PLUGIN_H
#include "types.h"
#define GRAFT_PLUGIN_EXPORT __attribute__((visibility("default")))
GRAFT_BEGIN

/* ---- host services and configuration --------------------------------------------------------- */

enum { GRAFT_LOG_DEBUG = 0, GRAFT_LOG_INFO = 1, GRAFT_LOG_WARNING = 2, GRAFT_LOG_ERROR = 3 };

typedef struct graft_host { /* GROWS; lives as long as any instance made with it */
  uint32_t struct_size;
  uint16_t abi_major, abi_minor;
  /* [any] level: GRAFT_LOG_*. Texts are copied. */
  void (*log)(const struct graft_host*, int32_t level, const char* source, const char* message);
} graft_host;

/* JSON that the plugin's own schema has settled: presence, types and ranges are right, defaults are
 * filled in. `path` is a JSON Pointer ("/rank"). A path that is not there reads as 0, "" or 0
 * entries. [any] Texts live as long as the config, which lives as long as what it was given to. */
typedef struct graft_config {
  const struct graft_config_api* api;
} graft_config;
typedef struct graft_config_api { /* GROWS */
  uint32_t struct_size, reserved;
  int64_t (*get_i64)(const graft_config*, const char* path); /* true and false read as 1 and 0 */
  double (*get_f64)(const graft_config*, const char* path);
  const char* (*get_str)(const graft_config*, const char* path);
  uint32_t (*count)(const graft_config*, const char* path);   /* of an array or object */
  const char* (*json)(const graft_config*, const char* path); /* canonical text of a subtree */
} graft_config_api;

/* A named value of a recorded call or a kernel call. FROZEN. A flag or integer is in i, a real
 * number in f, a text in s; the others are 0. */
typedef struct graft_attr {
  const char *name, *s;
  int64_t i;
  double f;
} graft_attr;

/* ---- sites and parameters -------------------------------------------------------------------- */

/* One named place in the model, named as in the checkpoint: "model.layers.3.self_attn.q_proj".
 * Kinds without a module of their own are "<layer>.self_attn.kv", "<layer>.self_attn.residual" and
 * "<layer>.mlp.residual". */
typedef struct graft_site {
  const struct graft_site_api* api;
} graft_site;
enum {
  GRAFT_SITE_LINEAR = 1,    /* y = x Wt + b */
  GRAFT_SITE_ATTN_KV = 2,   /* keys after RoPE, and values */
  GRAFT_SITE_RESIDUAL = 4,  /* a sublayer's output before it is added to the residual stream */
  GRAFT_SITE_EMBEDDING = 8, /* y = W[ids] */
  GRAFT_SITE_NORM = 16
};
typedef struct graft_site_info { /* GROWS; the caller sets struct_size, the host fills what fits */
  uint32_t struct_size;
  int32_t kind;
  const char* name;
  /* LINEAR: W is [out_features, in_features]. EMBEDDING: in_features is the vocabulary's size,
   * out_features the hidden size, W is [in_features, out_features]. RESIDUAL, NORM: both are the
   * hidden size (q/k norms: head_dim). ATTN_KV: both are n_heads * head_dim of keys. */
  int64_t in_features, out_features, n_heads, head_dim; /* 0 where it has no meaning */
  int32_t layer;                                        /* -1 outside of the layers */
  uint32_t has_bias;
} graft_site_info;

enum {
  GRAFT_INIT_ZEROS = 0,
  GRAFT_INIT_ONES = 1,
  GRAFT_INIT_CONSTANT = 2,        /* init_scale */
  GRAFT_INIT_NORMAL = 3,          /* mean 0, standard deviation init_scale */
  GRAFT_INIT_UNIFORM = 4,         /* [-init_scale, init_scale) */
  GRAFT_INIT_KAIMING_UNIFORM = 5, /* torch's kaiming_uniform_(a=sqrt(5)): bound 1/sqrt(dims[1]) */
  GRAFT_INIT_TORCH_UNIFORM =
      6,                   /* [-init_scale, init_scale) in f32 as torch's CPU generator (MT19937)
                                     with seed init_seed draws it, after init_skip numbers */
  GRAFT_INIT_BASE = 7,     /* a copy of init_from */
  GRAFT_INIT_ROW_NORM = 8, /* Euclidean norms of the rows of init_from, or of its columns */
  GRAFT_INIT_COLUMN_NORM = 9,
  GRAFT_INIT_BASE_ROWS = 10, /* rows init_rows of init_from; NULL: rows drawn from the seed */
  /* Factors of init_from's best approximation with as many singular values as the parameter has
   * rows (RIGHT) or columns (LEFT): init_scale LEFT RIGHT. Of zeros RIGHT is as KAIMING_UNIFORM. */
  GRAFT_INIT_SVD_LEFT = 11,
  GRAFT_INIT_SVD_RIGHT = 12,
  /* The first columns of Q and the first rows of R of init_from = Q R. */
  GRAFT_INIT_QR_LEFT = 13,
  GRAFT_INIT_QR_RIGHT = 14,
  /* A matrix with 1 on the diagonal, or in row i at init_rows[i], and init_scale elsewhere. */
  GRAFT_INIT_EYE = 15,
  /* The tensor init_from of the same site in the adapter folder init_path. */
  GRAFT_INIT_ADAPTER = 16,
  GRAFT_INIT_VALUES = 17 /* init_values */
};
enum {
  GRAFT_PARAM_FROZEN = 1,   /* gets no gradient and no optimizer state */
  GRAFT_PARAM_SHARED = 2,   /* one per name in the method entry, not one per site */
  GRAFT_PARAM_NOSAVE = 4,   /* not written to the adapter file; made anew from the seed */
  GRAFT_PARAM_REPLACES = 8, /* used by the model in the place of init_from, as which it begins */
  GRAFT_PARAM_WIDE = 16,    /* ops see it as it is kept, in f32 (f64 where that is computed in) */
  GRAFT_PARAM_BESIDE =
      32 /* kept in graft_parameters.safetensors: PEFT's file has no place for it */
};
typedef struct graft_param_desc { /* GROWS */
  uint32_t struct_size, flags;
  const char* name; /* saved as "base_model.model.<site>.<name>", shared as "base_model.<name>" */
  int32_t init;
  uint32_t n_dims;   /* 1 to 4 */
  double init_scale; /* see GRAFT_INIT_* */
  int64_t dims[4];
  /* A tensor of the site's module: "weight" or "bias"; "weight.lost": what quantizing while it was
   * loaded took from the weight (W less what is computed with), 0 where nothing did. */
  const char* init_from;
  int64_t init_seed, init_skip;
  const int32_t* init_rows; /* dims[0] of them, copied */
  double lr_scale;          /* its learning rate is so many times that of the step; 0: once */
  const char* init_path;
  const float* init_values; /* all elements, copied */
} graft_param_desc;

typedef struct graft_site_api { /* GROWS. All [setup] */
  uint32_t struct_size, reserved;
  graft_status (*info)(const graft_site*, graft_site_info*, graft_error*);
  /* The entry's options as they hold at this site: an option P that the schema marks with
   * "x-graft-overrides": "Q" is an object {pattern: value} and has replaced Q here (PEFT's
   * rank_pattern). An option marked "x-graft-modules": true is a regular expression for whole names
   * or a list of ends of names, and reads as whether it fits this site's (PEFT's
   * feedforward_modules); what a list names must be among the targets. Lives as long as the
   * attachment. */
  const graft_config* (*config)(const graft_site*);
  /* Declares a parameter; the host initialises, casts, saves and trains it. Master values are f32;
   * ops see it in the compute dtype. NULL on error. Lives as long as the attachment. */
  graft_tensor* (*param)(graft_site*, const graft_param_desc*, graft_error*);
  /* In attach(): forward() will prepend() n rows to each sequence here. At an EMBEDDING they are
   * tokens for the rest of the model, at ATTN_KV (then at all layers) keys and values that every
   * token of the sequence sees; either way the positions of the sequence's own tokens begin at n. */
  graft_status (*virtual_tokens)(graft_site*, int64_t n, graft_error*);
} graft_site_api;

/* ---- ops: what methods and optimizers are written in [record] ----------------------------------
 * An op records; nothing is computed. Results live as long as the recording. The host derives the
 * backward pass. Errors are sticky: the first is kept in the ctx, its result is NULL, and an op
 * that is given a NULL returns NULL, so calls nest safely and one status() at the end suffices.
 *
 * Extents: dim() answers a count, or, for an extent that varies from run to run (rows, sequences),
 * a negative symbol. A symbol may be handed back to reshape and expand; it is never a number.
 * Floating-point operands of one op have one dtype: cast, the host never guesses. */
typedef struct graft_ctx {
  const struct graft_ops_api* ops;
} graft_ctx;
enum { GRAFT_TRANS_A = 1, GRAFT_TRANS_B = 2 }; /* the last two axes are swapped */
enum {
  GRAFT_ACT_RELU = 1,
  GRAFT_ACT_GELU = 2,      /* x/2 (1 + erf(x/sqrt 2)) */
  GRAFT_ACT_GELU_TANH = 3, /* x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
  GRAFT_ACT_SILU = 4,      /* x sigmoid(x) */
  GRAFT_ACT_TANH = 5,
  GRAFT_ACT_SIGMOID = 6,
  GRAFT_ACT_EXP = 7,
  GRAFT_ACT_SQRT = 8,
  GRAFT_ACT_ABS = 9,  /* derivative sign(x) */
  GRAFT_ACT_SIGN = 10 /* derivative 0 */
};
enum { GRAFT_NORM_RMS = 0, GRAFT_NORM_LAYER = 1 };

typedef struct graft_ops_api { /* GROWS */
  uint32_t struct_size, reserved;
  graft_status (*status)(const graft_ctx*);
  void (*fail)(graft_ctx*, graft_status, const char* message); /* raise the sticky error yourself */
  int64_t (*dim)(graft_ctx*, const graft_tensor*, int32_t axis); /* -1 is the last axis */
  uint32_t (*rank)(graft_ctx*, const graft_tensor*);             /* number of axes */
  uint32_t (*dtype)(graft_ctx*, const graft_tensor*);
  /* a [.., m, k] times b [.., k, n]; leading axes broadcast. flags: GRAFT_TRANS_* */
  graft_tensor* (*matmul)(graft_ctx*, graft_tensor* a, graft_tensor* b, uint32_t flags);
  graft_tensor* (*add)(graft_ctx*, graft_tensor*, graft_tensor*); /* these four broadcast */
  graft_tensor* (*sub)(graft_ctx*, graft_tensor*, graft_tensor*);
  graft_tensor* (*mul)(graft_ctx*, graft_tensor*, graft_tensor*);
  graft_tensor* (*div)(graft_ctx*, graft_tensor*, graft_tensor*);
  graft_tensor* (*affine)(graft_ctx*, graft_tensor* x, double mul, double add); /* x mul + add */
  graft_tensor* (*act)(graft_ctx*, graft_tensor*, int32_t kind);
  graft_tensor* (*sum)(graft_ctx*, graft_tensor*, int32_t axis, int32_t keep_dim);
  graft_tensor* (*softmax)(graft_ctx*, graft_tensor*); /* over the last axis */
  /* Over the last axis. bias may be NULL. kind: GRAFT_NORM_* */
  graft_tensor* (*norm)(graft_ctx*, graft_tensor* x, graft_tensor* weight, graft_tensor* bias,
                        int32_t kind, double eps);
  graft_tensor* (*reshape)(graft_ctx*, graft_tensor*, const int64_t* dims, uint32_t n);
  graft_tensor* (*permute)(graft_ctx*, graft_tensor*, const int32_t* axes, uint32_t n);
  graft_tensor* (*expand)(graft_ctx*, graft_tensor*, const int64_t* dims, uint32_t n);
  graft_tensor* (*concat)(graft_ctx*, graft_tensor* const*, uint32_t n, int32_t axis);
  graft_tensor* (*slice)(graft_ctx*, graft_tensor*, int32_t axis, int64_t from, int64_t to);
  graft_tensor* (*gather)(graft_ctx*, graft_tensor* table, graft_tensor* ids); /* table[ids] */
  graft_tensor* (*cast)(graft_ctx*, graft_tensor*, uint32_t dtype);
  graft_tensor* (*detach)(graft_ctx*, graft_tensor*); /* the gradient stops here */
  /* x [rows, ..]: elements are zeroed with probability p, the others divided by 1 - p. Nothing in
   * evaluation. Replayed exactly under recompute, resume and another split into micro-steps. */
  graft_tensor* (*dropout)(graft_ctx*, graft_tensor*, double p);
  /* An op by its name ("rope", "attention", "swiglu", ...; docs/ops.md). */
  graft_status (*call)(graft_ctx*, const char* op, graft_tensor* const* in, uint32_t n_in,
                       const graft_attr* attr, uint32_t n_attr, graft_tensor** out, uint32_t n_out);
  /* dst = src, in place, once per run. dst is a parameter or its optimizer state; only in
   * update(). */
  void (*assign)(graft_ctx*, graft_tensor* dst, graft_tensor* src);
} graft_ops_api;

/* ---- method plugin ------------------------------------------------------------------------------
 * Hooks are middleware: next() runs what is inside yours, at last the model's own op, on the inputs
 * that you give it, at most once. Shapes: LINEAR in{x [rows, in_features]} out{y [rows, out]}.
 * EMBEDDING in{ids i32 [rows]} out{y [rows, out]}. RESIDUAL in{x, sublayer(x)} out{new sublayer
 * output}, all [rows, hidden]. ATTN_KV in{k, v} out{k, v}, [rows, n_heads, head_dim]. NORM in{x}
 * out{y}. forward() may run more than once per recording and keeps no state. */
typedef struct graft_hook { /* GROWS */
  uint32_t struct_size;
  int32_t kind;
  graft_tensor* const* in;
  graft_tensor** out; /* n_out slots to fill */
  uint32_t n_in, n_out;
  graft_tensor *weight, *bias; /* of the model's own op, frozen; NULL if it has none */
  graft_tensor* strength;      /* scalar [1] in the compute dtype, varies from run to run */
  graft_status (*next)(graft_ctx*, const struct graft_hook*, graft_tensor* const* in,
                       graft_tensor** out);
  /* x with the rows of `prefix` before the rows of each sequence, as virtual_tokens() has declared.
   * While tokens are generated one after the other it is x itself: the prefix is in the cache. */
  graft_tensor* (*prepend)(graft_ctx*, const struct graft_hook*, graft_tensor* x,
                           graft_tensor* prefix);
} graft_hook;

/* The numbers of a method's parameters between two steps, for after_step() and save(). */
enum { GRAFT_READ_VALUE = 0, GRAFT_READ_GRADIENT = 1 };
typedef struct graft_values { /* GROWS */
  uint32_t struct_size, reserved;
  int64_t index; /* optimizer steps done */
  /* All n elements of a parameter, as they are kept, or, in after_step(), its gradient as the optimizer
   * has seen it. */
  graft_status (*read)(const struct graft_values*, const graft_tensor* param, int32_t what,
                       float* out, uint64_t n, graft_error*);
  /* In after_step(). */
  graft_status (*write)(const struct graft_values*, graft_tensor* param, const float* values,
                        uint64_t n, graft_error*);
} graft_values;
/* What the rows that go into a site are like, over batches of the run's data: their principal
 * components, by falling variance, and after each batch those of all batches until then (Ross et al.
 * 2008, "Incremental Learning for Robust Visual Tracking"). FROZEN. */
typedef struct graft_inputs {
  uint32_t most;           /* yours, in the first call: the site needs so many at most; 0: none */
  uint32_t wanted;         /* yours, in each call: so many must have settled for the pass to end */
  uint32_t n, same_as;     /* how many there are; the first site that has the same inputs */
  const float* components; /* [n, in_features], orthonormal, their largest elements positive */
  const float* singular_values; /* [n], of the rows less their mean */
  const float* explained;       /* [n], shares of the rows' variance */
} graft_inputs;
typedef struct graft_input_pass { /* GROWS */
  uint32_t struct_size, n;
  graft_site* const* sites; /* n, and what goes into each */
  graft_inputs* of;
  int64_t batches; /* gone through: 0 in the first call */
  double settled;  /* yours, in the first call: a component has settled when a batch has left the
                        * cosine between it and what it was at this at least */
  uint32_t supervised; /* yours, in the first call. 1: rows of supervised tokens alone */
  uint32_t reserved;
} graft_input_pass;
/* An adapter that is about to be written. */
typedef struct graft_adapter_file { /* GROWS */
  uint32_t struct_size, reserved;
  /* It holds this in the place of the parameter. Extents may be 0. Copied. */
  graft_status (*tensor)(struct graft_adapter_file*, const graft_tensor* param, const int64_t* dims,
                         uint32_t n_dims, const float* values, graft_error*);
  /* This is its option at `path`, a JSON Pointer. "/targets" is the host's. */
  graft_status (*option)(struct graft_adapter_file*, const char* path, const char* json,
                         graft_error*);
} graft_adapter_file;

typedef struct graft_method graft_method; /* the plugin's own instance */
#define GRAFT_IFACE_METHOD "graft.method/1"
typedef struct graft_method_api {   /* GROWS */
  uint32_t struct_size, site_kinds; /* kinds that it can hook, or-ed */
  const char* name;                 /* the "type" in RUN.json */
  /* JSON Schema (the subset in docs/hacking.md) of its options. "x-graft-targets" beside
   * "properties" holds the targets where the user gives none. An option marked
   * "x-graft-quantization": true says how the base model is quantized, as "model.quantization" does.
   * One marked "x-graft-method": true names another method, whose options the entry takes as well,
   * and which does the work in the place of this one: create() and what follows are not called, and
   * storage is the other's. "x-graft-optimizer" beside "properties" holds the run's optimizer where
   * the user names none. */
  const char* config_schema;
  /* How it is stored as a PEFT folder; NULL: natively only. JSON text:
   * {"peft_type": "LORA",
   *  "fields": {"rank": "r", ..},          option: its key in adapter_config.json, which is also
   *                                        the option's alias in RUN.json
   *  "constants": {"bias": "none", ..},    written as they are; another value in a file is refused
   *  "ignored": ["loftq_config", ..],      keys without a meaning for the numbers
   *  "host": ["targets", ..],              which of the host's options the format has a key for:
   *                                        targets, exclude, layers, modules_to_save; without it all
   *  "tensors": {"prompt": "prompt_embeddings", ..},  whole keys in the file of parameters by name
   *  "model": {"token_dim": "hidden", ..}, keys that tell of the model: hidden, layers, heads,
   *                                        kv_heads, kv_features
   *  "computed": ["prompt_embeddings"],    tensors that stored() makes
   *  "beside": {"encoder": "none", ..}}    what options are where a folder lacks the parameters
   *                                        marked GRAFT_PARAM_BESIDE
   * Of several methods with one peft_type the one is taken whose constants agree.
   * A field may be {"key": "lora_alpha", "missing": 8, "values": {"kaiming": [true, false], ..}}:
   * missing is the option's value where a file lacks the key (without it: the schema's default);
   * values lists for each value of the option what stands for it in a file, the first being what is
   * written, and what is in no list is refused. Keys that no list names are refused unless they are
   * null, false or empty; those of every method (task_type, target_modules, ..) are the host's. */
  const char* storage;
  graft_status (*create)(const graft_host*, const graft_config*, graft_method** out,
                         graft_error*); /* [setup] */
  void (*destroy)(graft_method*);       /* [setup] NULL is fine */
  /* [setup] Called once with all sites that matched, before attach(); may be NULL. */
  graft_status (*plan)(graft_method*, graft_site* const* sites, uint32_t n, graft_error*);
  /* [setup] Declares this site's parameters. GRAFT_SKIP: not here. *state is handed back. */
  graft_status (*attach)(graft_method*, graft_site*, void** state, graft_error*);
  void (*detach)(graft_method*, void* state);                                         /* [setup] */
  graft_status (*forward)(graft_method*, void* state, graft_ctx*, const graft_hook*); /* [record] */
  /* [record] The tensors of the model's own op with the method in them: *weight and *bias (NULL if
   * there is none) come in as hook->weight and hook->bias and go out changed or as they are. Of the
   * hook only kind, weight, bias and strength are there. NULL: it cannot be merged. */
  graft_status (*merge)(graft_method*, void* state, graft_ctx*, const graft_hook*,
                        graft_tensor** weight, graft_tensor** bias);
  /* [record] A tensor that the storage lists as computed. At the first site. */
  graft_status (*stored)(graft_method*, void* state, graft_ctx*, const graft_hook*,
                         const char* name, graft_tensor** out);
  /* [record] A term [1] of the loss, of parameters alone, added once per optimizer step; NULL: none.
   * Of the hook only kind and strength are there. */
  graft_status (*loss)(graft_method*, void* state, graft_ctx*, const graft_hook*,
                       graft_tensor** out);
  /* [step] After each optimizer step, with the states of all n sites: what cannot be recorded. */
  graft_status (*after_step)(graft_method*, void* const* states, uint32_t n, const graft_values*,
                             graft_error*);
  /* [step] Before an adapter is written, with the states of all n sites: where its file is not simply
   * the options and the parameters. */
  graft_status (*save)(graft_method*, void* const* states, uint32_t n, const graft_values*,
                       graft_adapter_file*, graft_error*);
  /* [setup] Between plan() and attach(), where a run begins anew: a pass over its data, for what
   * parameters begin from or their shapes depend on. Called first to ask for it, then after every
   * batch. Not called where the parameters come from a folder. */
  graft_status (*observe)(graft_method*, graft_input_pass*, graft_error*);
} graft_method_api;

/* ---- optimizer plugin ---------------------------------------------------------------------- */
typedef struct graft_optimizer graft_optimizer;
enum { GRAFT_OPTIMIZER_ELEMENTWISE = 1 }; /* update() may be given parameters as one flat range */
typedef struct graft_step {               /* GROWS: what varies from step to step */
  uint32_t struct_size;
  uint32_t decays; /* 1: weight decay applies to this group of parameters */
  int64_t index;   /* optimizer steps done, this one included: the first is 1 */
  double lr;       /* learning rate of this step, the schedule applied */
} graft_step;
typedef struct graft_update { /* GROWS: a group of parameters with one set of scalars */
  uint32_t struct_size, n;    /* n parameters */
  graft_tensor *const *param, *const *grad; /* f32, n each; grad is averaged and clipped already */
  graft_tensor* const* state;               /* parameter i's k-th state at i * n_state + k */
  graft_tensor* const* scalars;             /* f32 [1] each, n_scalars: filled by scalars() */
  const char* const* name;  /* n; of the parameter, "" where a range holds several */
  uint32_t phase, reserved; /* which recording this is; see phase() */
} graft_update;
typedef struct graft_state_desc { /* GROWS: what a state of a parameter is */
  uint32_t struct_size, n_dims;   /* 0: there is none */
  int64_t dims[4];
  /* GRAFT_U8, or as it comes in: the parameter's (f32, f64 where that is computed in). The k-th
   * states of all parameters have one. */
  uint32_t dtype, reserved;
} graft_state_desc;
#define GRAFT_IFACE_OPTIMIZER "graft.optimizer/1"
typedef struct graft_optimizer_api { /* GROWS */
  uint32_t struct_size, flags;       /* GRAFT_OPTIMIZER_* */
  const char* name;                  /* the "type" in RUN.json */
  const char* config_schema;   /* lr, schedule, clipping and accumulation belong to the host */
  uint32_t n_state, n_scalars; /* states per parameter: zero at first, saved */
  graft_status (*create)(const graft_host*, const graft_config*, graft_optimizer** out,
                         graft_error*);                              /* [setup] */
  void (*destroy)(graft_optimizer*);                                 /* [setup] NULL is fine */
  void (*scalars)(graft_optimizer*, const graft_step*, double* out); /* [step] */
  graft_status (*update)(graft_optimizer*, graft_ctx*, const graft_update*); /* [record] */
  /* [setup] The k-th state of a parameter: *out comes in as what is like it. NULL: that is what they
   * all are, as they must be where update() may be given flat ranges. */
  graft_status (*state)(graft_optimizer*, const char* name, const int64_t* dims, uint32_t n_dims,
                        uint32_t k, graft_state_desc* out, graft_error*);
  /* [step] What a step does may be one of n_phases recordings (0 counts as 1): the answer is below
   * n_phases. NULL: always the first. */
  uint32_t (*phase)(graft_optimizer*, const graft_step*);
  uint32_t n_phases, reserved2;
} graft_optimizer_api;

/* ---- backend plugin: memory, streams and named kernels; knows nothing of gradients -------------
 *
 * Kernels and their arguments; an implementation must take every shape, stride and dtype that the
 * line allows. T is f32, or bf16 or f64 where device_info's caps say so; for T = f64 every F32 of a
 * line is F64 too, only inv_freq stays F32. Statistics and sums are
 * accumulated in f32 at least (f64 for f64). A zero extent is no error. Extents are the actual ones
 * in run(), the largest possible ones in supports() and workspace(). Outputs never overlap inputs,
 * except that elementwise kernels (marked =) may be given out == in. [accumulate] marks outputs
 * that are added to, not overwritten, when the attribute "accumulate" is 1.
 *
 * An operand marked [quant] may be quantized: quant is set, dtype is GRAFT_QUANT, data NULL and ndim
 * 2; strides (columns, 1) are the matrix as graft_quant has it, strides (1, columns) the transposed
 * one. It stands for its values in F32, or for these rounded to T. Which formats a kernel takes,
 * supports() says; without supports() it takes none. What is not taken the host expands before, by
 * "copy/1" if that takes the format, or while the model is loaded.
 *
 * "copy/1"      in x T1 [quant]; out y T2, same shape, any strides (0 in x broadcasts); any pair of
 *               F64, F32, F16, BF16, I32; [accumulate]
 * "fill/1"      out y T or I32; attr value (f)
 * "add/1" "sub/1" "mul/1" "div/1" = in a, b; out y, all T; strides of 0 broadcast
 * "affine/1"    = in x; out y = x mul + add; attr mul (f), add (f)
 * "act/1"       = in x; out y; attr kind (GRAFT_ACT_*)
 * "act_bwd/1"   = in dy, x; out dx = dy act'(x); attr kind
 * "matmul/1"    in a [.., m, k], b [.., k, n] [quant] (leading axes equal or of stride 0), optional
 *               bias [n]; out c [.., m, n] = alpha a b + bias; attr alpha (f), [accumulate]. a, b, bias
 *               of one T, c of T or F32. Transposed operands come as strides. c's last axis is
 *               dense.
 * "reduce_sum/1" in x T; out y T or F32, same rank, extents equal or 1; [accumulate]
 * "softmax/1"   = in x; out y; over the last axis
 * "softmax_bwd/1" = in dy, y; out dx = y (dy - sum(dy y))
 * "norm/1"      in x [.., d], weight [d], optional bias [d]; out y; attr kind (GRAFT_NORM_*), eps
 *               (f), offset (f, 0). w = offset + weight, which is not rounded
 *               RMS: y = w T(x / sqrt(mean(x^2) + eps)), rounded to T before the product with w.
 *               LAYER: y = (x - mean) / sqrt(var + eps) w + b, biased variance, rounded once
 * "norm_bwd/1"  in dy, x, weight; out dx; attr kind, eps, offset
 * "norm_bwd_weight/1" in dy, x; out dweight F32 [d], optional dbias F32 [d]; attr kind, eps;
 *               [accumulate]
 * "rope/1"      = in x [rows, heads, head_dim], positions I32 [rows], inv_freq F32 [rotary/2] or
 *               [rows, rotary/2]; out y; attr scale (f) on cos and sin, inverse (1: rotates back, the derivative).
 *               Half-split pairs (i, i + rotary/2); elements past rotary are copied; angle and sine
 *               in F32 (F64 for T = f64); cos and sin rounded to T.
 * "gather/1"    in table T [n, ..] [quant], ids I32 [rows]; out y [rows, ..]
 * "scatter_add/1" in x T [rows, ..], ids I32 [rows]; out table T or F32 [n, ..]: sums of the rows
 *               with each id, 0 where none; [accumulate]; fixed order
 * "write_rows/1" in x T [rows, ..], ids I32 [rows]; out table T [n, ..]: table[ids[i]] = x[i],
 *               other rows stay
 * "cross_entropy/1" in logits T [rows, v], labels I32 [rows]; out loss F32 [rows], lse F32 [rows]
 *               (natural log of the sum of exponentials); a negative label gives loss 0
 * "cross_entropy_bwd/1" = in logits, labels, lse, dloss F32 [rows]; out dlogits = dloss (exp(logits
 *               - lse) - onehot), 0 in rows with a negative label
 * "dropout/1"   = in x T [rows, ..], keys I32 [rows, 2], seed I32 [2]; out y; attr p (f), stream
 *               (i).
 *               Element e of row r (row-major within the row) takes 32 bits: word e mod 4 of
 *               Philox4x32-10 with counter (e / 4, keys[r][0], keys[r][1], stream), key seed; it is
 *               kept and divided by 1 - p when bits >= floor(p 2^32)
 * "attention/1" in q [rows, heads, d], k [krows, kv_heads, d], v [krows, kv_heads, dv], cu_q I32
 *               [s+1], k_begin I32 [s], k_len I32 [s]; out o [rows, heads, dv], lse F32 [rows,
 *               heads]; attr scale (f), causal, window (0: none), softcap (f, 0: none).
 *               Sequence j's queries are rows cu_q[j] to cu_q[j+1], its keys rows k_begin[j] to
 *               k_begin[j] + k_len[j]; the last query stands at the last key. Query at position p
 *               sees keys 0..p (causal) and only p - window < key. Query head h uses kv head h /
 *               (heads / kv_heads). score = softcap tanh(scale q k / softcap). No visible key: 0.
 * "attention_bwd/1" in do, q, k, v, o, lse, cu_q, k_begin, k_len; out dq, dk, dv; attrs as forward.
 *               Rows of k that belong to no sequence get 0.
 *
 * "skew/1"      in x T [n, b (b - 1) / 2]; out y [n, b, b] = u - transposed u, x being the strict upper
 *               triangle of u, by rows
 * "unskew/1"    in y T [n, b, b]; out x [n, b (b - 1) / 2] = y[i][j] - y[j][i] for i < j, by rows
 * "inverse/1"   in x T [n, b, b]; out y [n, b, b] = (x + shift 1)^-1; attr shift (f); where there is
 *               none, y is not finite
 * "orthonormal/1" in x T [n, a, b], b <= a; out y [n, a, b]: orthonormal columns, the first k of which
 *               span the first k of x (Gram and Schmidt); a column that depends on those before it
 *               (its rest is below 1e-6 of it) becomes the first unit vector whose rest is 1/2 at
 *               least in square, or the one with the largest rest
 *
 * Optional, fused; where absent or unsupported the host decomposes:
 * "swiglu/1"    in gate, up; out y = silu(gate) up
 * "swiglu_bwd/1" in dy, gate, up; out dgate, dup
 * "add_norm/1"  in x, r T [.., d], weight [d]; out s = x + r, y = norm(s); attr kind, eps, offset
 * "adam_update/1" in grad F32 [n], decay, step_size, denom_scale F32 [1]; out param, m, v F32 [n]
 *               in place; attr beta1, beta2, eps (f): m = beta1 m + (1 - beta1) g, v = beta2 v + (1
 *               - beta2) g^2, param = param decay - step_size m / (sqrt(v) denom_scale + eps)
 * "sum_squares/1" in x F32 [n]; out y F32 [1]
 *
 * Optional, without a decomposition: what needs one that is absent is refused.
 * "adam8_update/1" as adam_update with m and v kept in 8 bits: out param F32 [n], m, v U8 [n], m_scale,
 *               v_scale F32 [blocks of 256] in place; graft/dynamic8.hpp has the two maps. A state is
 *               map[code] scale. m = fma(1 - beta1, g, beta1 m), v = fma((1 - beta2) g, g, beta2 v),
 *               each operation rounded to F32, to the bit; param is made from these. Then scale =
 *               the largest magnitude of the block, code = that of state / scale
 */
typedef struct graft_device graft_device;
typedef struct graft_stream graft_stream;
typedef struct graft_view { /* FROZEN: what a kernel sees */
  void* data;
  const graft_quant* quant;       /* NULL: dense */
  int32_t device_type, device_id; /* DLPack device codes: 1 is the CPU */
  uint32_t dtype;
  int32_t ndim;
  int64_t shape[8], stride[8]; /* strides in elements, always filled in, may be 0 */
} graft_view;
typedef struct graft_kernel_args { /* GROWS */
  uint32_t struct_size, n_in, n_out, n_attr;
  const graft_view *in, *out; /* data is NULL in supports() and workspace() */
  const graft_attr* attr;
  void* workspace; /* 256-byte aligned, as large as workspace() asked for */
  uint64_t workspace_size;
} graft_kernel_args;
typedef struct graft_kernel { /* FROZEN */
  const char* name;           /* "matmul/1": the revision is part of the name */
  /* [step] enqueues, need not wait */
  graft_status (*run)(graft_stream*, const graft_kernel_args*, graft_error*);
  graft_status (*supports)(graft_device*, const graft_kernel_args*); /* NULL: all of its line */
  uint64_t (*workspace)(graft_device*, const graft_kernel_args*);    /* bytes; NULL: none */
} graft_kernel;
enum { GRAFT_CAP_BF16 = 1, GRAFT_CAP_F64 = 2, GRAFT_CAP_HOST_MEMORY = 4 };
typedef struct graft_device_info { /* GROWS; the caller sets struct_size */
  uint32_t struct_size;
  int32_t device_type;
  char name[64];
  uint64_t memory_total;
  uint64_t caps;       /* GRAFT_CAP_*: T may be bf16, f64; kernels read any host memory as it is */
  uint32_t auto_dtype; /* what "dtype": "auto" means here: the fastest for training */
  uint32_t threads;    /* CPU threads in use; 0: not a CPU */
} graft_device_info;
#define GRAFT_IFACE_BACKEND "graft.backend/1"
typedef struct graft_backend_api { /* GROWS */
  uint32_t struct_size, reserved;
  const char* name; /* the "type" in RUN.json */
  const char* config_schema;
  /* [any] 0: cannot run on this machine; otherwise its preference, the highest is the default.
   * Compiled for the baseline instruction set. */
  int32_t (*probe)(void);
  graft_status (*open)(const graft_host*, const graft_config*, graft_device**, graft_error*);
  void (*close)(graft_device*);
  graft_status (*device_info)(graft_device*, graft_device_info*, graft_error*);
  const graft_kernel* (*kernels)(graft_device*, uint32_t* n); /* lives as long as the device */
  /* 256-byte aligned, zeroed; pages may be untouched until used. */
  graft_status (*alloc)(graft_device*, uint64_t bytes, void** out, graft_error*);
  void (*free)(graft_device*, void*);
  graft_status (*stream_create)(graft_device*, graft_stream**, graft_error*);
  void (*stream_destroy)(graft_stream*);
  graft_status (*stream_wait)(graft_stream*, graft_error*); /* late errors surface here */
  /* Between host and device memory, in stream order; to_device: 1 or 0. */
  graft_status (*copy)(graft_stream*, void* dst, const void* src, uint64_t bytes, int32_t to_device,
                       graft_error*);
} graft_backend_api;

/* ---- the one exported symbol --------------------------------------------------------------- */
typedef struct graft_plugin { /* GROWS; static storage */
  uint32_t struct_size;
  uint16_t abi_major, abi_minor; /* GRAFT_ABI_MAJOR, GRAFT_ABI_MINOR of its header */
  const char* id;                /* reverse domain: "org.example.lora" */
  const char *version, *vendor, *license;
  const void* (*get_interface)(const char* interface_id); /* [any] NULL: not offered */
} graft_plugin;
typedef const graft_plugin* (*graft_plugin_entry_fn)(void);
GRAFT_PLUGIN_EXPORT const graft_plugin* graft_plugin_entry_v0(
    void); /* [any] fast, allocates nothing */
GRAFT_END
#endif
