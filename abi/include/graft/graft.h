/* graft/graft.h: what applications and language bindings call. Flat exported functions.
 *
 * Errors: a function that can fail returns graft_status and takes a graft_error * (NULL is fine)
 * that it fills on failure; outputs are untouched then. Destroy functions return nothing and take
 * NULL. Text in is UTF-8, NUL-terminated, copied where it is kept. Text out is a graft_text, which
 * the caller destroys.
 *
 * Threads: an engine may be used by any number of threads at once; a model, tokenizer or session by
 * one thread at a time; functions marked [any] at any time from any thread.
 *
 * Ownership: the caller destroys what it created, in any order: models and sessions keep their
 * engine alive.
 *
 * JSON: configurations, requests and answers are those of the `graft` command (docs/interface.md). */
#ifndef GRAFT_H
#define GRAFT_H
#include "types.h"
#define GRAFT_API __attribute__((visibility("default")))
GRAFT_BEGIN

typedef struct graft_engine graft_engine;       /* plugins and the log */
typedef struct graft_model graft_model;         /* a base model with adapters, for inference */
typedef struct graft_tokenizer graft_tokenizer; /* text to tokens and back, without weights */
typedef struct graft_session graft_session;     /* a training run */
typedef struct graft_text graft_text;           /* a text result */

/* [any] GRAFT_ABI_MAJOR << 16 | GRAFT_ABI_MINOR of the library that is loaded. */
GRAFT_API uint32_t graft_abi_version(void);
/* [any] "0.1.0"; static. */
GRAFT_API const char* graft_version(void);

/* [any] NUL-terminated; lives as long as the text. */
GRAFT_API const char* graft_text_data(const graft_text*);
/* [any] Bytes without the NUL. */
GRAFT_API size_t graft_text_size(const graft_text*);
GRAFT_API void graft_text_destroy(graft_text*);

/* ---- engine ---------------------------------------------------------------------------------- */

/* config_json: NULL, or {"plugin_dirs": [".."], "allow_load_by_path": false}. */
GRAFT_API graft_status graft_engine_create(const char* config_json, graft_engine** out,
                                           graft_error* error);
GRAFT_API void graft_engine_destroy(graft_engine*);
/* level: 0 debug, 1 info, 2 warning, 3 error. Called from any thread; texts live during the call.
 * A NULL function: nothing is logged, which is the default. */
typedef void (*graft_log_fn)(void* user, int32_t level, const char* source, const char* message);
GRAFT_API void graft_engine_set_log(graft_engine*, graft_log_fn, void* user, int32_t min_level);
/* Adds the plugins in a file; GRAFT_E_DENIED unless the engine's config allows it. */
GRAFT_API graft_status graft_plugin_load(graft_engine*, const char* path, graft_error* error);

/* {"plugins": [{"kind", "name", "id", "version", "abi", "path", ..}], "folders": [..]}; with a name
 * that plugin alone, its JSON Schema in "options". */
GRAFT_API graft_status graft_plugins_json(graft_engine*, const char* name, graft_text** out,
                                          graft_error* error);
/* JSON Schema of RUN.json, composed from the plugins' own; with a name that plugin's part. */
GRAFT_API graft_status graft_schema_json(graft_engine*, const char* plugin, graft_text** out,
                                         graft_error* error);
/* What is in a model, adapter folder, data file, .safetensors or .gguf file. options_json: NULL or
 * {"model": MODEL, "format", "limit", ..}; data files need a model for their tokens. */
GRAFT_API graft_status graft_inspect_json(graft_engine*, const char* path, const char* options_json,
                                          graft_text** out, graft_error* error);

/* ---- tokenizer -------------------------------------------------------------------------------- */

/* path: a model folder, a folder with tokenizer files only, or a .gguf file. */
GRAFT_API graft_status graft_tokenizer_open(graft_engine*, const char* path, graft_tokenizer** out,
                                            graft_error* error);
GRAFT_API void graft_tokenizer_destroy(graft_tokenizer*);
/* {"input_ids": [..], "offsets": [[start, end], ..], "pieces": [..]}; offsets in bytes of text.
 * special: 1 adds the tokens that the tokenizer adds by itself. text may hold NULs: size counts. */
GRAFT_API graft_status graft_tokenizer_encode(graft_tokenizer*, const char* text, size_t size,
                                              int32_t special, graft_text** out,
                                              graft_error* error);
/* Text of n ids; skip_special: 1 leaves special tokens out. */
GRAFT_API graft_status graft_tokenizer_decode(graft_tokenizer*, const int32_t* ids, size_t n,
                                              int32_t skip_special, graft_text** out,
                                              graft_error* error);
/* The chat template applied: variables_json is {"messages": [..], "add_generation_prompt": true,
 * ..}. GRAFT_E_NOT_FOUND if there is no template. */
GRAFT_API graft_status graft_tokenizer_template(graft_tokenizer*, const char* variables_json,
                                                graft_text** out, graft_error* error);

/* ---- inference --------------------------------------------------------------------------------- */

/* path: a model folder or a .gguf file. options_json: NULL, or {"backend": "cpu", "dtype": "auto",
 * "threads": 0, "adapters": [{"path": DIR, "strength": 1}, ..]}; all adapters are active together. */
GRAFT_API graft_status graft_model_open(graft_engine*, const char* path, const char* options_json,
                                        graft_model** out, graft_error* error);
GRAFT_API void graft_model_destroy(graft_model*);
/* {"family", "parameters", "dtype", "vocab", "layers", "hidden", "context", "adapters", ..} */
GRAFT_API graft_status graft_model_info_json(graft_model*, graft_text** out, graft_error* error);
/* request_json: an input line of `graft score`; top: how many of "next_top", 0: none. The answer is
 * the output line. */
GRAFT_API graft_status graft_score(graft_model*, const char* request_json, int32_t top,
                                   graft_text** out, graft_error* error);
/* request_json: {"prompt" | "messages" | "input_ids", "max_new_tokens", "greedy", "temperature",
 * "top_k", "top_p", "min_p", "repetition_penalty", "seed", "stop": [..], "ignore_eos", "chat"}.
 * on_text gets each piece as it comes (may be NULL); returning anything but 0 stops, which is no
 * error. The answer is {"input_ids", "output_ids", "text", "stop": "eos|length|stop|callback"}. */
typedef int32_t (*graft_text_fn)(void* user, const char* piece, size_t size);
GRAFT_API graft_status graft_generate(graft_model*, const char* request_json, graft_text_fn on_text,
                                      void* user, graft_text** out, graft_error* error);

/* Writes the model of `path` with the adapters of options_json in its weights: as for
 * graft_model_open, and "format": "keep", the default, quantizes again what is quantized there,
 * "none" expands it. output must not be there, or be an empty folder; a name that ends in .gguf gets
 * a GGUF file. The answer is {"path", "tensors": how many have changed, "requantized": [..]}.
 * GRAFT_E_INVALID for an adapter that is no change of weights. */
GRAFT_API graft_status graft_merge(graft_engine*, const char* path, const char* options_json,
                                   const char* output, graft_text** out, graft_error* error);

/* Writes the model of `path` in another format. options_json: {"format": "nf4", "fp4" or "int8" (a
 * folder as bitsandbytes stores it), "q4_0", "q4_k_m", "q8_0", "f16", "bf16" or "f32" (a GGUF
 * file); "block": 64, "double": true, "skip": ["lm_head"], "threads": 0}. output must not be there. The
 * answer is {"path", "format", ..}. */
GRAFT_API graft_status graft_quantize(graft_engine*, const char* path, const char* options_json,
                                      const char* output, graft_text** out, graft_error* error);

/* ---- training ---------------------------------------------------------------------------------- */

typedef struct graft_metrics { /* GROWS; the caller sets struct_size */
  uint32_t struct_size, reserved;
  int64_t step, tokens; /* tokens: rows computed in this step */
  double loss, grad_norm, lr, seconds;
} graft_metrics;

/* Events of graft_session_run, as JSON: the lines of metrics.jsonl, and {"event": "note", "text"},
 * {"event": "checkpoint", "step", "path"}, and at the end of a run with "profile"
 * {"event": "profile", ..}; of one of several runs with its name as "run". Do not call back in. */
typedef void (*graft_event_fn)(void* user, const char* event_json);

/* config_json: RUN.json. base_dir: what relative paths in it are relative to; NULL: the current
 * folder. Checks, opens and plans; computes nothing and allocates none of what the plan counts.
 * options_json: NULL, or {"resume": false, "force": false, "profile": false}. GRAFT_E_CONFIG: RUN.json
 * itself is wrong, whatever the files that it names hold. */
GRAFT_API graft_status graft_session_create(graft_engine*, const char* config_json,
                                            const char* base_dir, const char* options_json,
                                            graft_session** out, graft_error* error);
GRAFT_API void graft_session_destroy(graft_session*);
/* The answer of `graft plan --json`. */
GRAFT_API graft_status graft_session_plan_json(graft_session*, graft_text** out,
                                               graft_error* error);
/* The plan for people, as in plan.txt. */
GRAFT_API graft_status graft_session_plan_text(graft_session*, graft_text** out,
                                               graft_error* error);
/* The configuration with every default filled in. */
GRAFT_API graft_status graft_session_config_json(graft_session*, graft_text** out,
                                                 graft_error* error);
/* Trains from where the session stands to the end of the run: writes the output folder, evaluates,
 * keeps checkpoints. GRAFT_INTERRUPTED after graft_session_cancel; everything is saved then. Once in
 * a session: GRAFT_E_STATE after that. */
GRAFT_API graft_status graft_session_run(graft_session*, graft_event_fn, void* user,
                                         graft_error* error);
/* One step of a session with one run; writes nothing. GRAFT_SKIP: the run is at its end. */
GRAFT_API graft_status graft_session_step(graft_session*, graft_metrics* inout, graft_error* error);
/* The same: mean loss over the eval data in ->loss, its tokens in ->tokens. GRAFT_SKIP: there is none. */
GRAFT_API graft_status graft_session_evaluate(graft_session*, graft_metrics* inout,
                                              graft_error* error);
/* Writes the adapter as a PEFT folder (a sub-folder per run or method where there are several). */
GRAFT_API graft_status graft_session_save(graft_session*, const char* dir, graft_error* error);
/* [any] also from a signal handler: a running graft_session_run finishes its step, saves, returns. */
GRAFT_API void graft_session_cancel(graft_session*);

GRAFT_END
#endif
