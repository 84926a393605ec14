// The part of settling that touches the disk: carries out a SettlePlan on a layer's staging
// directory, after its pass has ended. Runs on one worker; nothing else touches the directory.
#pragma once

#include "base/result.h"
#include "pipeline/layer_pass.h"
#include "tree/settle.h"

namespace ociunpack {

// `flat_root` is the directory that the layer will be merged into (format flat), or -1: files of
// lower layers are then hardlinked from there instead of being copied.
Status carry_out_settle(LayerPass& pass, const SettlePlan& plan, int flat_root);

}  // namespace ociunpack
