// Unigram language models: the pieces whose scores have the largest sum.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/text/trie.hpp"
#include "core/text/unit.hpp"
#include "core/text/vocabulary.hpp"

namespace graft::core {

class Unigram {
 public:
  /// `scores` by id; a piece whose score is NaN is never found in a text. Throws GRAFT_E_INVALID where a score is
  /// infinite or `unk` is no id.
  Unigram(const Vocabulary& vocabulary, const std::vector<double>& scores,
          std::optional<std::int64_t> unk, bool byte_fallback, std::string_view who);
  /// The same with tree_of() made before, as that takes as long as the vocabulary.
  Unigram(const Vocabulary& vocabulary, Trie tree, const std::vector<double>& scores,
          std::optional<std::int64_t> unk, bool byte_fallback, std::string_view who);
  /// Of pieces by id.
  static Trie tree_of(std::span<const Vocabulary::Entry> pieces, const std::vector<double>& scores);

  /// Memory that encode() uses again from piece to piece.
  struct Workspace {
    struct Node {
      double score = 0;
      std::int32_t id = -1;          // of the token that ends here
      std::uint32_t start = unseen;  // where it begins
    };
    static constexpr std::uint32_t unseen = ~std::uint32_t{0};
    std::vector<Node> nodes;
    std::vector<Unit> path;
  };
  /// Throws GRAFT_E_INVALID on characters that are not in the vocabulary of a model without unk.
  void encode(const Vocabulary& vocabulary, std::string_view piece, Workspace& workspace,
              std::vector<Unit>& out) const;

 private:
  void add_unknown(const Vocabulary& vocabulary, std::string_view piece, Unit unknown,
                   std::vector<Unit>& out) const;

  Trie trie_;
  std::vector<double> scores_;
  double unk_score_ = 0;
  std::int32_t unk_ = -1;
  bool byte_fallback_ = false;
  std::array<std::int32_t, 256> byte_ids_{};
};

}  // namespace graft::core
