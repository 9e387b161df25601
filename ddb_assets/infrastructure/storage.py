"""The lake: its bucket and key, and the queue that hears of new exports.

Facts: Amazon S3 User Guide, "Granting permissions to publish event notification messages": S3 checks the queue's policy when
the bucket is made, so the policy must be there first, and cannot ask for the bucket's attribute.
"""

from typing import Any

from ddb_assets.infrastructure.arns import bucket_arn
from ddb_assets.infrastructure.document import attribute, ref, sub
from ddb_assets.infrastructure.resources import Resources, grant, policy, resource, tags
from ddb_assets.infrastructure.wanted import Wanted

SUMMARY = "manifest-summary.json"
RETENTION_SECONDS = 14 * 24 * 3600
VISIBILITY_SECONDS = 300  # the sensor deletes a message with its next tick, half a minute later
MAX_RECEIVES = 1000
"""How often a message is received before it is put aside. A sensor that fails for days must not lose an announcement."""
ABANDONED_DAYS, REPLACED_DAYS = 7, 30
KEY_ADMINISTRATION = [
    f"kms:{action}"
    for action in (
        "CancelKeyDeletion",
        "CreateAlias",
        "CreateGrant",
        "Decrypt",
        "DeleteAlias",
        "DescribeKey",
        "DisableKey",
        "EnableKey",
        "EnableKeyRotation",
        "Encrypt",
        "GenerateDataKey",
        "GetKeyPolicy",
        "GetKeyRotationStatus",
        "ListAliases",
        "ListGrants",
        "ListKeyPolicies",
        "ListResourceTags",
        "PutKeyPolicy",
        "RevokeGrant",
        "ScheduleKeyDeletion",
        "TagResource",
        "UntagResource",
        "UpdateAlias",
        "UpdateKeyDescription",
    )
]
"""What IAM policies of the account may allow for the key."""


def storage(wanted: Wanted) -> Resources:
    """The resources of the lake; of a bucket that exists only the queue."""
    found: Resources = {}
    if not wanted.options.existing_bucket:
        if not wanted.options.kms_key:
            found |= _key(wanted)
        found["Lake"] = resource("AWS::S3::Bucket", _bucket(wanted), kept=True, DependsOn=["ExportEventsPolicy"])
        found["LakePolicy"] = resource("AWS::S3::BucketPolicy", _bucket_policy())
    return found | _queue(wanted)


def _key(wanted: Wanted) -> Resources:
    account = grant({"AWS": sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root")}, KEY_ADMINISTRATION, Resource="*")
    key = {
        "Description": f"Encrypts the lake of {wanted.options.name}",
        "EnableKeyRotation": True,
        "KeyPolicy": policy({"Sid": "PoliciesOfThisAccountDecide"} | account),
        "Tags": tags(wanted),
    }
    alias = {"AliasName": f"alias/{wanted.options.name}", "TargetKeyId": ref("LakeKey")}
    return {
        "LakeKey": resource("AWS::KMS::Key", key, kept=True),
        "LakeKeyAlias": resource("AWS::KMS::Alias", alias),
    }


def _bucket(wanted: Wanted) -> dict[str, Any]:
    rules = [{"Name": "prefix", "Value": f"{wanted.lake.key('exports')}AWSDynamoDB/"}]
    rules += [{"Name": "suffix", "Value": SUMMARY}]
    return {
        "BucketName": wanted.lake.bucket,
        "BucketEncryption": {
            "ServerSideEncryptionConfiguration": [
                {
                    "BucketKeyEnabled": True,
                    "ServerSideEncryptionByDefault": {
                        "SSEAlgorithm": "aws:kms",
                        "KMSMasterKeyID": wanted.options.kms_key or attribute("LakeKey.Arn"),
                    },
                }
            ]
        },
        "PublicAccessBlockConfiguration": dict.fromkeys(
            ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
        ),
        "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        "VersioningConfiguration": {"Status": "Enabled"},
        "LifecycleConfiguration": {
            "Rules": [
                {
                    "Id": "what-nobody-can-see",
                    "Status": "Enabled",
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": ABANDONED_DAYS},
                    "NoncurrentVersionExpiration": {"NoncurrentDays": REPLACED_DAYS},
                    "ExpiredObjectDeleteMarker": True,
                }
            ]
        },
        "NotificationConfiguration": {
            "QueueConfigurations": [
                {
                    "Event": "s3:ObjectCreated:*",
                    "Queue": attribute("ExportEvents.Arn"),
                    "Filter": {"S3Key": {"Rules": rules}},
                }
            ]
        },
        "Tags": tags(wanted),
    }


def _bucket_policy() -> dict[str, Any]:
    everything = {"Action": "s3:*", "Resource": [attribute("Lake.Arn"), sub("${Lake.Arn}/*")]}
    deny = {"Effect": "Deny", "Principal": "*"} | everything
    return {
        "Bucket": ref("Lake"),
        "PolicyDocument": policy(
            {"Sid": "OnlyOverTLS"} | deny | {"Condition": {"Bool": {"aws:SecureTransport": "false"}}},
            {"Sid": "OnlyNewTLS"} | deny | {"Condition": {"NumericLessThan": {"s3:TlsVersion": "1.2"}}},
        ),
    }


def _queue(wanted: Wanted) -> Resources:
    name = f"{wanted.options.name}-exports"
    shared = {
        "MessageRetentionPeriod": RETENTION_SECONDS,
        "SqsManagedSseEnabled": True,
        "Tags": tags(wanted),
    }
    redrive = {"deadLetterTargetArn": attribute("ExportEventsFailed.Arn"), "maxReceiveCount": MAX_RECEIVES}
    source = {"aws:SourceAccount": ref("AWS::AccountId")}
    sent = grant(
        {"Service": "s3.amazonaws.com"},
        "sqs:SendMessage",
        Resource=attribute("ExportEvents.Arn"),
        Condition={"ArnEquals": {"aws:SourceArn": sub(bucket_arn(wanted.lake.bucket))}, "StringEquals": source},
    )
    everybody = {"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": attribute("ExportEvents.Arn")}
    insecure = everybody | {"Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    return {
        "ExportEventsFailed": resource("AWS::SQS::Queue", {"QueueName": f"{name}-failed", **shared}, kept=False),
        "ExportEvents": resource(
            "AWS::SQS::Queue",
            {"QueueName": name, **shared, "VisibilityTimeout": VISIBILITY_SECONDS, "RedrivePolicy": redrive},
            kept=False,
        ),
        "ExportEventsPolicy": resource(
            "AWS::SQS::QueuePolicy",
            {
                "Queues": [ref("ExportEvents")],
                "PolicyDocument": policy({"Sid": "TheLake"} | sent, {"Sid": "OnlyOverTLS"} | insecure),
            },
        ),
    }
