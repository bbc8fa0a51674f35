"""Every timm family: sites are pruned exactly, or refused in one line before training."""

import pytest
import timm
import torch

from pipeline.data.images import Input
from pipeline.errors import PipelineError
from pipeline.method.compactor import insert_compactors
from pipeline.method.importance import sensitivity_scores
from pipeline.method.merge import merge_site, prune_network
from pipeline.method.widths import try_narrow
from pipeline.networks.branches import fuse_branches
from pipeline.networks.cost import network_cost
from pipeline.networks.factory import Network, build_network
from pipeline.networks.serialization import load_deployed, save_network
from pipeline.networks.sites import find_sites
from pipeline.training.memory_format import memory_format_on
from tests.helpers import enliven, random_images, settle

SMALL_MEMBERS = [
    "bat_resnext26ts",
    "botnet26t_256",
    "caformer_s18",
    "cait_xxs24_224",
    "coat_tiny",
    "coatnet_pico_rw_224",
    "coatnext_nano_rw_224",
    "convformer_s18",
    "convit_tiny",
    "convmixer_768_32",
    "convnext_zepto_rms",
    "convnextv2_atto",
    "cpubone_nano",
    "crossvit_tiny_240",
    "cs3edgenet_x",
    "cs3se_edgenet_x",
    "csatv2",
    "cspdarknet53",
    "cspnext_tiny",
    "darknet17",
    "davit_tiny",
    "deit_tiny_patch16_224",
    "densenet121",
    "densenetblur121d",
    "dla34",
    "dla46x_c",
    "dpn48b",
    "eca_botnext26ts_256",
    "eca_halonext26ts",
    "eca_nfnet_l0",
    "eca_resnet33ts",
    "eca_resnext26ts",
    "eca_vovnet39b",
    "ecaresnet26t",
    "ecaresnetlight",
    "edgenext_xx_small",
    "efficientformer_l1",
    "efficientformerv2_s0",
    "efficientnet_lite0",
    "efficientnetv2_rw_t",
    "efficientvim_m1",
    "efficientvit_b0",
    "efficientvit_m0",
    "ese_vovnet19b_slim_dw",
    "eva02_tiny_patch14_224",
    "fasternet_t0",
    "fastvit_t8",
    "fbnetc_100",
    "fbnetv3_b",
    "flexivit_small",
    "focalnet_tiny_srf",
    "gc_efficientnetv2_rw_t",
    "gcresnet33ts",
    "gcvit_xxtiny",
    "gernet_s",
    "ghostnet_050",
    "ghostnetv2_100",
    "ghostnetv3_050",
    "gmixer_12_224",
    "gmlp_ti16_224",
    "halo2botnet50ts_256",
    "halonet_h1",
    "hardcorenas_b",
    "hgnet_tiny",
    "hgnetv2_b0",
    "hiera_tiny_224",
    "hieradet_small",
    "hrnet_w18_small",
    "iformer_t",
    "inception_next_atto",
    "inception_resnet_v2",
    "inception_v3",
    "inception_v4",
    "lambda_resnet26t",
    "lcnet_035",
    "lcnetv2_small",
    "legacy_senet154",
    "legacy_seresnet18",
    "legacy_seresnext26_32x4d",
    "legacy_xception",
    "levit_128s",
    "lowformer_b0",
    "mambaout_femto",
    "maxvit_pico_rw_256",
    "maxxvit_rmlp_nano_rw_256",
    "mixer_s16_224",
    "mixnet_s",
    "mnasnet_small",
    "mobilenet_edgetpu_100",
    "mobilenetv2_035",
    "mobilenetv3_small_050",
    "mobilenetv4_conv_small_050",
    "mobileone_s0",
    "mobilevit_xxs",
    "mobilevitv2_050",
    "mvitv2_tiny",
    "nasnetalarge",
    "nest_tiny",
    "nextvit_small",
    "nf_regnet_b0",
    "nfnet_l0",
    "pit_ti_224",
    "pnasnet5large",
    "poolformer_s12",
    "poolformerv2_s12",
    "pvt_v2_b0",
    "rdnet_tiny",
    "regnetv_040",
    "regnetx_002",
    "regnety_002",
    "regnetz_005",
    "repghostnet_050",
    "repvgg_a0",
    "repvit_m0_9",
    "res2next50",
    "resmlp_12_224",
    "resnest14d",
    "resnet18",
    "resnet18d",
    "resnetblur18",
    "resnetv2_18",
    "resnext50_32x4d",
    "rexnet_100",
    "rexnetr_100",
    "sam2_hiera_tiny",
    "selecsls42",
    "semnasnet_050",
    "senet154",
    "sequencer2d_s",
    "seresnetaa50d",
    "shvit_s1",
    "skresnet18",
    "skresnext50_32x4d",
    "spnasnet_100",
    "starnet_s050",
    "swiftformer_xs",
    "swin_tiny_patch4_window7_224",
    "swinv2_cr_tiny_224",
    "swinv2_tiny_window8_256",
    "test_mambaout",
    "tf_efficientnet_lite0",
    "tf_efficientnetv2_b0",
    "tf_mixnet_s",
    "tf_mobilenetv3_small_075",
    "tiny_vit_5m_224",
    "tinynet_e",
    "tnt_s_legacy_patch16_224",
    "tresnet_m",
    "twins_svt_small",
    "vgg11_bn",
    "visformer_tiny",
    "vit_betwixt_patch16_rope_reg4_gap_256",
    "vit_dlittle_patch16_reg1_gap_256",
    "vit_dpwee_patch16_reg1_gap_256",
    "vit_dwee_patch16_reg1_gap_256",
    "vit_medium_patch16_rope_reg1_gap_256",
    "vit_mediumd_patch16_rope_reg1_gap_256",
    "vit_relpos_small_patch16_rpn_224",
    "vit_small_patch16_dinov3",
    "vit_small_r26_s32_224",
    "vit_srelpos_small_patch16_224",
    "vit_tiny_patch16_224",
    "vit_tiny_r_s16_p8_224",
    "vitamin_small_224",
    "volo_d1_224",
    "vovnet39a",
    "xception41p",
    "xcit_nano_12_p8_224",
]


def size_of(architecture):
    """The smallest side that the architecture takes: 64, or its own."""
    config = timm.get_pretrained_cfg(architecture)
    own = config.input_size[-1] if config else 224
    return [Input(height=side, width=side) for side in (64, own)]


def smallest(architecture):
    """A network, alive, at the smallest size that it takes.

    Raises:
        PipelineError: it takes none.
    """
    network = Network(architecture=architecture, last_stride=2, embedding=16)
    *rest, last = size_of(architecture)
    for size in rest:
        try:
            return build_network(network, size), network, size
        except PipelineError:
            continue
    return build_network(network, last), network, last


@pytest.mark.slow
@pytest.mark.parametrize("architecture", SMALL_MEMBERS)
def test_a_family_is_pruned_exactly_or_refused_in_a_line(architecture, tmp_path):
    torch.manual_seed(0)
    try:
        embedder, network, size = smallest(architecture)
        sites = find_sites(embedder, "coupled")
        before = network_cost(fuse_branches(embedder), size).macs
        try_narrow(embedder, sites)
    except PipelineError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert "\n" not in refusal
        assert len(refusal) < 600
        return
    enliven(embedder)
    images = torch.from_numpy(random_images(2, size)).permute(0, 3, 1, 2)
    as_trained = images.contiguous(memory_format=memory_format_on(torch.device("cpu"), embedder))
    scores = sensitivity_scores(embedder, sites, [embedder.eval()(as_trained).square().sum()])
    assert [len(scores[site.writer]) for site in sites] == [site.channels for site in sites]
    random = torch.Generator().manual_seed(1)
    norms = {}
    with torch.no_grad():
        for site, rows in zip(sites, insert_compactors(embedder, sites).values(), strict=True):
            alive = torch.rand(site.channels, generator=random) > 0.4
            alive[:: site.channels // site.chunks] = True
            rows.scale_rows(alive.float())
            norms[site.writer] = rows.row_norms().detach()
    settle(embedder, size)

    def embed(one):
        with torch.inference_mode():
            return torch.nn.functional.normalize(one.eval()(images))

    embedder.double()  # exact except for rounding, which deep networks with random weights amplify
    expected = embed(embedder)
    for site in sites:
        merge_site(embedder, site)
    assert (embed(embedder) - expected).abs().max() < 1e-8
    prune_network(embedder, sites, norms, 1e-5)
    assert (embed(embedder) - expected).abs().max() < 1e-8
    embedder.float()
    expected = embed(embedder)
    fused = fuse_branches(embedder, dense=build_network(network, size))
    assert (embed(fused) - expected).abs().max() < 2e-4  # added branches of random weights cancel each other
    save_network(tmp_path, fused, network, size)
    loaded = load_deployed(tmp_path)
    assert torch.equal(embed(loaded), embed(fused))
    assert network_cost(loaded, size).macs < before
