// The families of decoders: a row of switches, names and defaults for each.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace graft::core {

/// The modules of a checkpoint; those of layers stand behind "<layers>.<n>.". Empty: there is none.
/// Fused modules are in the place of what they hold.
struct ModuleNames {
  std::string_view prefix = "model.";  ///< which checkpoints without a head leave out
  std::string_view embedding = "model.embed_tokens", positions = {};
  std::string_view layers = "model.layers", norm = "model.norm", head = "lm_head";
  std::string_view stored_head = {};  ///< what files call it, where that is not `head`
  std::string_view q = "self_attn.q_proj", k = "self_attn.k_proj", v = "self_attn.v_proj", qkv = {};
  std::string_view o = "self_attn.o_proj", q_norm = {}, k_norm = {};
  std::string_view gate = "mlp.gate_proj", up = "mlp.up_proj", gate_up = {}, down = "mlp.down_proj";
  /// Before and behind a sublayer.
  std::string_view before_attention = "input_layernorm", behind_attention = {};
  std::string_view before_mlp = "post_attention_layernorm", behind_mlp = {};
};

/// Whether linear layers have biases: by a key of config.json, which is false or true if missing.
enum class Bias { kNo, kYes, kKeyFalse, kKeyTrue };

/// Which layers have a window; "layer_types" says so where it is given.
enum class Window {
  kNever,        ///< the family has none
  kAll,          ///< all
  kFromLayer,    ///< if "use_sliding_window": from "max_window_layers" on
  kWithoutRope,  ///< if "use_sliding_window": those without rotation
  kPattern,      ///< all but every n-th
};

struct Family {
  std::string_view type;          ///< model_type in config.json
  std::string_view architecture;  ///< general.architecture in GGUF
  ModuleNames names = {};
  // Defaults of the configuration class. kv_heads 0: as many as heads; head_dim 0: hidden / heads.
  std::int64_t hidden = 4096, layers = 32, heads = 32, kv_heads = 0, head_dim = 0;
  std::int64_t intermediate = 0, vocab = 0, max_positions = 0;  ///< intermediate 0: 4 hidden
  double norm_eps = 1e-6;
  std::optional<std::int32_t> bos = {}, eos = {}, pad = {};
  bool tied = false;
  std::string_view activation = "silu";
  // Keys of config.json that are not called the same in all families.
  std::string_view eps_key = "rms_norm_eps", activation_key = "hidden_act";
  std::string_view theta_key = "rope_theta", rotary_key = "partial_rotary_factor";
  // Rotation.
  double theta = 10000;
  std::optional<double> rotary = {};       ///< how much of a head turns, if the file may say so
  std::optional<double> local_theta = {};  ///< layers with a window have a rotation of their own
  std::int64_t original_length = 0;        ///< of longrope; 0: the maximum
  std::int64_t no_rope_interval = 0;       ///< every n-th layer has no rotation; 0: all have
  // Scores and logits. Softcaps: 0 is none; without a value the family has none.
  double query_scalar = 0;  ///< scores are divided by its root; 0: by that of head_dim
  std::optional<double> attention_softcap = {}, final_softcap = {};
  // Switches.
  Bias qkv_bias = Bias::kNo, o_bias = Bias::kNo, mlp_bias = Bias::kNo;
  Window window = Window::kNever;
  std::int64_t window_pattern = 0, window_size = 4096;
  bool layer_norm = false;        ///< instead of RMS norms; they have biases
  double norm_offset = 0;         ///< the weights of norms are stored less that
  bool scaled_embedding = false;  ///< by sqrt(hidden)
  bool transposed = false;        ///< linear layers are stored [in, out] (Conv1D)
  bool qkv_by_head = false;       ///< the fused layer's rows are q, k, v of head 0, of head 1, ..
  bool whole_qk_norm = false;     ///< norms of q and k are over all heads together
  bool parallel = false;          ///< "use_parallel_residual" is read, true if missing
  bool interleaved = false;       ///< llama.cpp's converter reorders the rows of q and k
};

const std::vector<Family>& families();

/// "gemma, gemma2, .."
std::string family_list();

/// The family of that model_type, or null.
const Family* find_family(std::string_view type);

}  // namespace graft::core
